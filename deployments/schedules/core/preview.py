"""The next times of a schedule, with notes about exclusions and clock changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import islice

from deployments.schedules.core import Timetable
from deployments.schedules.core.calendars import Exclusions
from deployments.schedules.core.zones import moments_of, wall_of


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A time of a schedule. `local` is the same moment in the schedule's zone. A time that is left out gets no run."""

    at: datetime
    local: datetime
    note: str | None = None
    left_out: bool = False


def preview(
    timetable: Timetable, *, after: datetime, count: int, exclusions: Exclusions | None = None
) -> list[Upcoming]:
    """Return the next `count` times, including those that a calendar excludes."""
    return list(islice(_upcoming(timetable, after, exclusions), count))


def _upcoming(timetable: Timetable, after: datetime, exclusions: Exclusions | None) -> Iterator[Upcoming]:
    excluded = exclusions.seen_from(timetable.zone) if exclusions else None
    for at, wall in timetable.named_after(after):
        event = excluded.event_at(at) if excluded else None
        notes = [_left_out_by(event) if event is not None else None, _of_the_clocks(at, wall, timetable.zone)]
        note = "; ".join(filter(None, notes)) or None
        yield Upcoming(at, at.astimezone(timetable.zone), note, left_out=event is not None)


def _left_out_by(event: str) -> str:
    return f"left out: {event}" if event else "left out by a calendar"


def _of_the_clocks(at: datetime, wall: datetime, zone: tzinfo) -> str | None:
    shown = wall_of(at, zone)
    if not moments_of(wall, zone):
        return f"clocks go forward: {_time(wall, shown)} does not exist, runs at {_time(shown, wall)}"
    same = moments_of(shown, zone)
    if len(same) == 1:
        return None
    which = "first" if at == same[0] else "second"
    return f"clocks go back: {_time(shown, shown)} comes twice, this is the {which}"


def _time(wall: datetime, other: datetime) -> str:
    """Return the time without seconds if they are zero, and with the date if that differs."""
    clock = wall.time().isoformat("minutes" if not wall.second else "seconds")
    return clock if wall.date() == other.date() else f"{wall.date()} {clock}"
