"""The next times of a schedule, stored or not, as its calendars leave them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from deployments.core.calendars import Exclusions
from deployments.core.horizon import MOST_LOOKED_AT
from deployments.core.schedules import read_definition
from deployments.models import Calendar, Schedule
from orchestration.errors import CalendarNotFound


@dataclass(frozen=True, slots=True)
class Upcoming:
    at: datetime
    note: str | None = None


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
    left_out = Exclusions.from_ics(calendars).covers
    times = islice(read_definition(definition).after(after), MOST_LOOKED_AT)
    return [Upcoming(at) for at in islice((at for at in times if not left_out(at)), count)]
