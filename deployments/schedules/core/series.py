"""A beginning with its rules, further dates and exceptions: what RRULE texts and calendar events come to."""

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

# A series whose exceptions leave out so many times in a row leaves out all of them, as far as anybody can tell.
MOST_LEFT_OUT = 20_000
# Of one series; each is followed on its own.
MOST_RULES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """`start` and what the rules give are local times of `zone`; `dates` come besides, in order. Left out are moments
    and whole local days."""

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
        """About from the moment on, ascending; the same moment may come again."""
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
    """The times of a rule that makes exceptions, asked for in about ascending order: each is worked out once."""

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
        """A rule that counts is followed from its beginning; another one need not go through all times up to here."""
        return self._rule.count is None and self._next is not None and self._next < wall - DAY
