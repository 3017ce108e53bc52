"""Whether a schedule can ever come to a run: asked where one is made, so that nobody waits for it in vain."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from deployments.schedules.core import read_definition
from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.rrule import RuleTimes
from deployments.schedules.core.timetable import Timetable
from deployments.schedules.core.zones import is_place

LONG_AGO = datetime(1, 1, 2, tzinfo=UTC)


def refuse_hopeless(definition: Mapping[str, Any], now: datetime) -> None:
    """Raises ScheduleError for a definition that means nothing, or names no time at all. One that has ended is not
    refused here: it may have been made in time."""
    zone = str(definition.get("timezone") or "")
    if not is_place(zone):
        raise ScheduleError(f"{zone!r} is no time zone of a place; write it like Europe/Berlin, or UTC.", "timezone")
    timetable = read_definition(definition)
    if next(timetable.after(now), None) is None and (why := _why_never(timetable)):
        raise ScheduleError(why)


def first_after(definition: Mapping[str, Any], now: datetime, ends_at: datetime | None) -> datetime | None:
    """The first time after `now`, if there is one before the schedule ends."""
    first = next(read_definition(definition).after(now), None)
    return first if first is None or ends_at is None or first <= ends_at else None


def _why_never(timetable: Timetable) -> str | None:
    if isinstance(timetable, RuleTimes) and timetable.counts_from_nowhere:
        return (
            "All of its times have passed: without a DTSTART, COUNT counts from 2020-01-01. Write DTSTART:… on a line "
            "before the rule."
        )
    if next(timetable.after(LONG_AGO), None) is None:
        return "There is no such time: the days that this schedule names are in no month of any year."
    return None
