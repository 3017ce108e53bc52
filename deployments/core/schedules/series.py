"""A beginning with its rules, further dates and exceptions: what RRULE texts and calendar events come to."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from heapq import merge
from itertools import count, takewhile

from deployments.core.schedules.expansion import UNITS, walls
from deployments.core.schedules.rules import Rule
from deployments.core.schedules.zones import (
    Named,
    earliest_wall,
    every_time,
    first_moment,
    once_each,
    wall_of,
)


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

    def named_from(self, moment: datetime) -> Iterator[Named]:
        """About from the moment on, ascending; the same moment may come again."""
        dates = self.dates[bisect_left(self.dates, moment, key=lambda named: named[0]) :]
        for named in merge(dates, *(self._of_rule(rule, moment) for rule in self.rules)):
            if not self._is_left_out(*named):
                yield named

    def _of_rule(self, rule: Rule, moment: datetime) -> Iterator[Named]:
        if rule.is_an_interval:
            return self._elapsed(rule, moment)
        local_times = walls(rule, self.start, earliest_wall(moment, self.zone))
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
        if at in self.left_out or wall.date() in self.days_left_out:
            return True
        return any(self._comes_at(rule, wall) for rule in self.except_rules)

    def _comes_at(self, rule: Rule, wall: datetime) -> bool:
        return wall in takewhile(lambda one: one <= wall, walls(rule, self.start, wall))
