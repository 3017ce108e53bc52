"""The next times of a schedule, stored or not, and what its calendars leave out of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from deployments.models import Calendar, Schedule
from deployments.schedules.core import read_definition
from deployments.schedules.core.calendars import Exclusions
from deployments.schedules.core.preview import Upcoming, preview
from orchestration.errors import CalendarNotFound


def upcoming_of(schedule: Schedule, *, after: datetime, count: int) -> list[Upcoming]:
    texts = schedule.calendars.order_by("name").values_list("ics", flat=True)
    times = _upcoming(schedule.definition, list(texts), after, count)
    return [one for one in times if schedule.ends_at is None or one.at <= schedule.ends_at]


def upcoming_times(
    definition: dict[str, object], calendar_names: Sequence[str], *, after: datetime, count: int
) -> list[Upcoming]:
    """Raises CalendarNotFound."""
    texts = dict(Calendar.objects.filter(name__in=calendar_names).values_list("name", "ics"))
    if missing := set(calendar_names) - texts.keys():
        raise CalendarNotFound(name=min(missing))
    return _upcoming(definition, list(texts.values()), after, count)


def _upcoming(definition: dict[str, object], calendars: list[str], after: datetime, count: int) -> list[Upcoming]:
    exclusions = Exclusions.from_ics(calendars) if calendars else None
    return preview(read_definition(definition), after=after, count=count, exclusions=exclusions)
