"""Intervals: a run after each number of seconds, counted from an anchor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count
from typing import Any

from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.timetable import Timetable
from deployments.schedules.core.zones import DAY, Named, first_moment, name_of, on_clocks, wall_of, zone_of

# The anchor if none is given.
ORIGIN = datetime(2020, 1, 1)  # noqa: DTZ001
UNITS = (("week", 604_800), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@dataclass(frozen=True, slots=True)
class IntervalTimes(Timetable):
    """The times of an interval. Intervals of a day or more keep the time of day; shorter ones count elapsed time."""

    interval: timedelta
    anchor: datetime
    zone: tzinfo

    def number_between(self, begin: datetime, end: datetime) -> int | None:
        if self.interval >= DAY:
            return None
        return (self.anchor - begin) // self.interval - (self.anchor - end) // self.interval

    def _named_from(self, moment: datetime) -> Iterator[Named]:
        return self._by_the_clock(moment) if self.interval >= DAY else self._elapsed(moment)

    def _elapsed(self, moment: datetime) -> Iterator[Named]:
        for number in count((moment - self.anchor) // self.interval):
            at = self.anchor + number * self.interval
            yield at, wall_of(at, self.zone)

    def _by_the_clock(self, moment: datetime) -> Iterator[Named]:
        anchor = wall_of(self.anchor, self.zone)
        for number in count((wall_of(moment, self.zone) - anchor) // self.interval):
            wall = anchor + number * self.interval
            yield first_moment(wall, self.zone), wall

    def describe(self) -> str:
        since = on_clocks(self.anchor, self.zone).isoformat(" ", "minutes")
        return f"every {_in_words(self.interval)}, counted from {since}, {name_of(self.zone)}"


def _in_words(interval: timedelta) -> str:
    seconds = interval.total_seconds()
    for unit, length in UNITS:
        if interval.microseconds == 0 and seconds % length == 0:
            number = int(seconds // length)
            return unit if number == 1 else f"{number} {unit}s"
    return f"{seconds:f}".rstrip("0") + " seconds"


def read_interval(definition: Mapping[str, Any]) -> IntervalTimes:
    zone = zone_of(definition.get("timezone"))
    return IntervalTimes(_length(definition["interval"]), anchor_of(definition.get("anchor_date"), zone), zone)


def _length(seconds: object) -> timedelta:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ScheduleError("The interval is a number of seconds.", "interval")
    try:
        interval = timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        raise ScheduleError("The interval is too long to count.", "interval") from None
    if interval <= timedelta():
        raise ScheduleError("The interval must be a microsecond at least.", "interval")
    return interval


def anchor_of(given: object, zone: tzinfo) -> datetime:
    """Return the anchor in UTC. Without an offset it is in the schedule's zone."""
    try:
        anchor = datetime.fromisoformat(given) if isinstance(given, str) else given or ORIGIN
        if not isinstance(anchor, datetime):
            raise TypeError
        return first_moment(anchor, zone) if anchor.tzinfo is None else anchor.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        raise ScheduleError("The anchor is a date and time such as 2026-01-05T06:00:00+01:00.", "anchor_date") from None
