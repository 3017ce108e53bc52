from __future__ import annotations

from deployments.core.schedules.errors import ScheduleError


def read_ics(definition):
    raise ScheduleError("not yet", "ics")
