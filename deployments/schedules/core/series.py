"""Series: a start with rules, further dates and exceptions. RRULE texts and calendar events become series."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from heapq import merge
from itertools import count

from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.expansion import UNITS, Effort, walls
from deployments.schedules.core.rules import Rule
from deployments.schedules.core.zones import (
    DAY,
    Named,
    earliest_wall,
    every_time,
    first_moment,
    once_each,
    wall_of,
)

# If exceptions exclude this many times in a row, the series is treated as having no more times.
MOST_LEFT_OUT = 20_000
# In one series; each rule is followed separately.
MOST_RULES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A series of times. `start` and the results of rules are local times in `zone`; `dates` are further times.

    Both single moments and whole local days can be excluded.
    """

    zone: tzinfo
    start: datetime
    rules: tuple[Rule, ...] = ()
    dates: tuple[Named, ...] = ()
    except_rules: tuple[Rule, ...] = ()
    left_out: frozenset[datetime] = frozenset()
    days_left_out: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        if len(self.rules) + len(self.except_rules) > MOST_RULES:
            raise ScheduleError(f"More than {MOST_RULES} rules recur together; name more days or times in fewer rules.")

    def named_from(self, moment: datetime, effort: Effort | None = None) -> Iterator[Named]:
        """Yield the times from about `moment` on, ascending. The same moment may occur repeatedly."""
        dates = self.dates[bisect_left(self.dates, moment, key=lambda named: named[0]) :]
        effort = effort or Effort()
        excepted = [Excepted(rule, self.start, effort) for rule in self.except_rules]
        in_vain = 0
        for at, wall in merge(dates, *(self._of_rule(rule, moment, effort) for rule in self.rules)):
            if not self._is_left_out(at, wall) and not any(one.comes_at(wall) for one in excepted):
                yield at, wall
                in_vain = 0
            elif (in_vain := in_vain + 1) > MOST_LEFT_OUT:
                raise ScheduleError(f"Exceptions leave out {MOST_LEFT_OUT} times in a row; make fewer of them.")

    def _of_rule(self, rule: Rule, moment: datetime, effort: Effort) -> Iterator[Named]:
        if rule.is_an_interval:
            return self._elapsed(rule, moment)
        local_times = walls(rule, self.start, earliest_wall(moment, self.zone), effort)
        return (every_time if rule.counts_elapsed_time else once_each)(local_times, self.zone)

    def _elapsed(self, rule: Rule, moment: datetime) -> Iterator[Named]:
        start = first_moment(self.start.replace(microsecond=0), self.zone)
        last = first_moment(rule.until, self.zone) if rule.until else None
        step = UNITS[rule.freq] * rule.interval
        for number in count(max(0, (moment - start) // step)):
            at = start + number * step
            if (last is not None and at > last) or (rule.count is not None and number >= rule.count):
                return
            yield at, wall_of(at, self.zone)

    def _is_left_out(self, at: datetime, wall: datetime) -> bool:
        return at in self.left_out or wall.date() in self.days_left_out


class Excepted:
    """The times of an exception rule, requested in about ascending order, so that each is computed once."""

    def __init__(self, rule: Rule, start: datetime, effort: Effort) -> None:
        self._effort = effort
        self._rule = rule
        self._start = start
        self._asked: datetime | None = None
        self._next: datetime | None = None
        self._times: Iterator[datetime] = iter(())

    def comes_at(self, wall: datetime) -> bool:
        if self._asked is None or wall < self._asked or self._may_jump_to(wall):
            self._times = walls(self._rule, self._start, wall, self._effort)
            self._next = next(self._times, None)
        while self._next is not None and self._next < wall:
            self._next = next(self._times, None)
        self._asked = wall
        return self._next == wall

    def _may_jump_to(self, wall: datetime) -> bool:
        """Whether to restart at `wall`: unless a rule counts, it need not be followed through all times up to there."""
        return self._rule.count is None and self._next is not None and self._next < wall - DAY
