"""Conversion from local times to moments when clocks change.

A local time that clocks skip has no moment; one that they repeat has two. A schedule that names times of day runs once
for each of them: the first time it occurs or, if it is skipped, when the clocks have changed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from difflib import get_close_matches
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from deployments.schedules.core.errors import ScheduleError

TICK = timedelta(microseconds=1)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)

# Files of the zone database that do not belong to places, and zones with leap seconds.
NO_PLACES = frozenset({"Factory", "localtime", "posixrules"})
LEAP_SECONDS = "right/"

# A moment, and the local time that named it. They differ if clocks skip that time.
Named = tuple[datetime, datetime]


def zone_of(name: object, field: str = "timezone") -> tzinfo:
    """Return the zone with that name; UTC for none."""
    if name is None or name == "":
        return UTC
    try:
        return UTC if name == "UTC" else ZoneInfo(str(name))
    except (KeyError, ValueError, OSError):
        raise ScheduleError(f"There is no time zone {name!r}{_perhaps(str(name))}", field) from None


def is_place(name: str) -> bool:
    """Whether the name can belong to a zone that is the same on every machine."""
    return name not in NO_PLACES and not name.startswith(LEAP_SECONDS)


def _perhaps(name: str) -> str:
    near = get_close_matches(name[:100], available_timezones(), n=1)
    return f"; did you mean {near[0]}?" if near else "; write it like Europe/Berlin."


def name_of(zone: tzinfo) -> str:
    return str(zone)


def wall_of(moment: datetime, zone: tzinfo) -> datetime:
    """Return the local time that clocks show at that moment."""
    return moment.astimezone(zone).replace(tzinfo=None)


def on_clocks(moment: datetime, zone: tzinfo) -> datetime:
    """Return the local time to the second, to show it; that of UTC if the zone has none in the years 1 to 9999."""
    try:
        return wall_of(moment, zone).replace(microsecond=0)
    except OverflowError:
        return wall_of(moment, UTC).replace(microsecond=0)


def moments_of(wall: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """Return every moment at which clocks show this: usually one, none in a gap, two if clocks are set back."""
    first, second = _offsets(wall, zone)
    if first == second:
        return (_at(wall, first),)
    return (_at(wall, first), _at(wall, second)) if first > second else ()


def first_moment(wall: datetime, zone: tzinfo) -> datetime:
    """Return the first moment at which clocks show this or, if they skip it, the moment of the clock change."""
    first, second = _offsets(wall, zone)
    return _at(wall, first) if first >= second else _end_of_gap(_at(wall, second), _at(wall, first), zone)


def _offsets(wall: datetime, zone: tzinfo) -> tuple[timedelta, timedelta]:
    # For fold 0 the offset before a change of the clocks, and for fold 1 the one after it; in a gap, too.
    return _offset(wall.replace(tzinfo=zone, fold=0)), _offset(wall.replace(tzinfo=zone, fold=1))


def _offset(moment: datetime) -> timedelta:
    return moment.utcoffset() or timedelta()


def _at(wall: datetime, offset: timedelta) -> datetime:
    return (wall - offset).replace(tzinfo=UTC)


def _end_of_gap(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """Return the second in which clocks change between two moments."""
    old = _offset(before.astimezone(zone))
    low, high = 0, int((after - before) / SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset((before + middle * SECOND).astimezone(zone)) == old:
            low = middle
        else:
            high = middle
    return (before + high * SECOND).replace(microsecond=0)


def earliest_wall(moment: datetime, zone: tzinfo) -> datetime:
    """Return a lower bound of the local times at or after a moment, even if clocks are about to be set back."""
    moment = moment - TICK
    later = _offset((moment + DAY).astimezone(zone))
    return min(wall_of(moment, zone), moment.replace(tzinfo=None) + later)


@lru_cache(maxsize=4_096)
def steady_offset(day: date, zone: tzinfo) -> timedelta | None:
    """Return the offset of a day if clocks do not change on it, nor on the days beside it."""
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001
    offsets = {offset for days in range(-1, 3) for offset in _offsets(midnight + days * DAY, zone)}
    return offsets.pop() if len(offsets) == 1 else None


def once_each(walls: Iterable[datetime], zone: tzinfo) -> Iterator[Named]:
    """Yield the moment of each local time once, whatever the clocks do."""
    for wall in walls:
        yield first_moment(wall, zone), wall


def every_time(walls: Iterable[datetime], zone: tzinfo) -> Iterator[Named]:
    """Yield every moment at which clocks show one of these times, in order."""
    repeated: deque[Named] = deque()
    for wall in walls:
        for moment in moments_of(wall, zone)[:1]:
            while repeated and repeated[0][0] <= moment:
                yield repeated.popleft()
            yield moment, wall
        repeated.extend((moment, wall) for moment in moments_of(wall, zone)[1:])
    yield from repeated


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
