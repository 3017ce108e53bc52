"""The times of a backfill: those of a schedule in a period, and their form as the value of a parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from deployments.schedules.core import ScheduleError, read_definition
from deployments.schedules.core.calendars import Exclusions

# Of one backfill: each time is a row, and its run another.
MOST_TIMES = 10_000
# Time zones cannot be computed at the first years of the calendar.
EARLIEST = datetime(1800, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class NamedTime:
    """A moment with its local time in the schedule's zone, and the calendar event that excludes it."""

    at: datetime
    local: datetime
    left_out_by: str | None = None


def times_between(
    definition: Mapping[str, Any], start: datetime, end: datetime, exclusions: Exclusions | None
) -> list[NamedTime]:
    """Return the times from `start` to `end` inclusive, in order. Raises ScheduleError, also for too many times."""
    if start < EARLIEST:
        raise ScheduleError(f"The start lies before {EARLIEST:%Y}; choose a later one.")
    timetable = read_definition(definition)
    left_out = exclusions.seen_from(timetable.zone) if exclusions else None
    found: list[NamedTime] = []
    for at in takewhile(lambda at: at <= end, timetable.after(start, inclusive=True)):
        if len(found) == MOST_TIMES:
            raise ScheduleError(
                f"The schedule names more than {MOST_TIMES:,} times between the start and the end; choose a shorter "
                "stretch, or a schedule with fewer times."
            )
        found.append(NamedTime(at, at.astimezone(timetable.zone), left_out.event_at(at) if left_out else None))
    return found


def value_of(time: NamedTime, schema: Mapping[str, Any] | None, parameter: str) -> str:
    """Return the time as the parameter's value: a date if its schema asks for one, otherwise date, time and offset."""
    named = (schema or {}).get("properties")
    own = named.get(parameter) if isinstance(named, Mapping) else None
    kinds = [own, *(own.get("anyOf") or [])] if isinstance(own, Mapping) else []
    formats = {one.get("format") for one in kinds if isinstance(one, Mapping)}
    if "date" in formats and "date-time" not in formats:
        return time.local.date().isoformat()
    return time.local.isoformat()
