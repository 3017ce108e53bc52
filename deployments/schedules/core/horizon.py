"""Decide how far ahead runs of a schedule are planned, which missed times are caught up, and when to plan again.

A schedule has a cursor: for every time up to it, planning has decided whether it gets a run. The cursor and the
timetable are enough to decide what to plan now, so the planned runs need not be read.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Literal, Protocol

# Times that are examined: if a calendar excludes everything, a timetable by the second must not be searched forever.
MOST_LOOKED_AT = 10_000
MOST_MISSED = 100
BUSY_WAIT = timedelta(seconds=15)


class Times(Protocol):
    """The part of a timetable that is needed here: its moments after a given one, ascending."""

    def after(self, moment: datetime, *, inclusive: bool = False) -> Iterator[datetime]: ...


@dataclass(frozen=True, slots=True)
class Horizon:
    """Plan at least `runs` and at least `ahead`, but never more than `most` or farther than `farthest`."""

    runs: int = 3
    ahead: timedelta = timedelta(hours=1)
    most: int = 100
    farthest: timedelta = timedelta(days=100)

    def is_reached(self, times: list[datetime], now: datetime) -> bool:
        return len(times) >= self.most or (len(times) >= self.runs and times[-1] >= now + self.ahead)


@dataclass(frozen=True, slots=True)
class Ahead:
    """The times within the horizon. `ended`: no others follow. `look_at`: when more can be seen, if too few."""

    times: list[datetime]
    ended: bool = False
    look_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The times that get a run now, the new cursor, and when to plan again (None: nothing is left to plan)."""

    times: list[datetime]
    planned_until: datetime
    plan_at: datetime | None


def look_ahead(
    timetable: Times,
    now: datetime,
    horizon: Horizon,
    *,
    ends_at: datetime | None = None,
    left_out: Callable[[datetime], bool] | None = None,
) -> Ahead:
    """Return the times after `now` up to the horizon, without those that a calendar excludes."""
    times: list[datetime] = []
    looked_at = now
    moments = islice(timetable.after(now), MOST_LOOKED_AT)
    for moment in moments:
        if ends_at is not None and moment > ends_at:
            return Ahead(times, ended=True)
        if horizon.is_reached(times, now):
            return Ahead(times)
        if moment > now + horizon.farthest:
            return Ahead(times, look_at=moment - horizon.farthest)
        looked_at = moment
        if left_out is None or not left_out(moment):
            times.append(moment)
    if next(timetable.after(looked_at), None) is None:
        return Ahead(times, ended=True)
    return Ahead(times, look_at=looked_at - horizon.ahead)


def missed_times(timetable: Times, since: datetime, now: datetime) -> list[datetime]:
    """Return the last times after `since` up to `now`, at most MOST_MISSED.

    A timetable can only be read forwards, so increasingly long spans before `now` are searched.
    """
    span = timedelta(seconds=10)
    while True:
        start = max(since, now - span)
        moments = takewhile(lambda moment: moment <= now, timetable.after(start))
        found = list(islice(moments, MOST_LOOKED_AT))
        if len(found) >= MOST_MISSED or start == since:
            return found[-MOST_MISSED:]
        span *= 4


def decide_missed(
    times: Sequence[datetime],
    policy: Literal["all", "latest", "none"],
    window: timedelta | None,
    now: datetime,
    most: int = 100,
) -> list[datetime]:
    """Return the missed times that still get a run: all of them (the newest `most`), the latest one, or none.

    Times older than `window` get none.
    """
    if policy == "none" or not times:
        return []
    recent = [at for at in times if window is None or now - at <= window]
    return recent[-1:] if policy == "latest" else recent[-most:]


def plan(
    ahead: Ahead,
    missed: list[datetime],
    *,
    since: datetime,
    now: datetime,
    horizon: Horizon,
    runs_left: int | None = None,
    slots: int | None = None,
    decided: Container[datetime] = (),
) -> Plan:
    """Decide which times of `ahead`, and of the missed ones, get a run now.

    `runs_left` ends a schedule; too few `slots` only make it wait. Times in `decided` already have a run, or must not
    get one.
    """
    due = [*missed, *(moment for moment in ahead.times if moment > since)]
    times = undecided = [moment for moment in due if moment not in decided]
    if room := [n for n in (runs_left, slots) if n is not None]:
        times = undecided[: min(room)]
    if runs_left is not None and len(times) >= runs_left:
        return Plan(times, max([since, now, *times]), None)
    if len(times) < len(undecided):
        # Times up to now found no slot, and are dropped. Later times may still find one.
        return Plan(times, max([now, *times]), now + BUSY_WAIT)
    return Plan(times, max([since, now, *due]), _look_again(ahead, now, horizon))


def _look_again(ahead: Ahead, now: datetime, horizon: Horizon) -> datetime | None:
    """Return a time before fewer runs than wanted, or half of the wanted time, are left."""
    times = ahead.times
    if ahead.ended:
        return None
    if ahead.look_at is not None:
        return max(now + BUSY_WAIT, ahead.look_at)
    if len(times) >= horizon.most:
        return times[(len(times) - 1) // 2]
    return max(now, min(times[-horizon.runs], times[-1] - horizon.ahead / 2))
