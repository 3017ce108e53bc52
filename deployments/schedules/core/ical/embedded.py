"""Time zones that a document defines itself, in a VTIMEZONE."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import islice, takewhile
from operator import attrgetter

from deployments.schedules.core.expansion import Effort, walls
from deployments.schedules.core.rules import Rule

# Documents define zones from the year 1601 or 1970 on, without an end.
FIRST = datetime(1970, 1, 1)  # noqa: DTZ001
LAST = datetime(2200, 1, 1)  # noqa: DTZ001
MOST_CHANGES = 1000


@dataclass(frozen=True, slots=True)
class Observance:
    """A change of clocks from one offset to another. Times are those that clocks show before it."""

    start: datetime
    before: timedelta
    after: timedelta
    rules: tuple[Rule, ...] = ()
    dates: tuple[datetime, ...] = ()

    def changes(self, effort: Effort) -> Iterator[Change]:
        for wall in {self.start, *self.dates, *(wall for rule in self.rules for wall in self._of_rule(rule, effort))}:
            yield Change(wall - self.before, self.before, self.after)

    def _of_rule(self, rule: Rule, effort: Effort) -> Iterator[datetime]:
        times = walls(rule, self.start, max(self.start, FIRST), effort)
        return islice(takewhile(lambda wall: wall < LAST, times), MOST_CHANGES)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the offset at a moment in UTC."""

    at: datetime
    before: timedelta
    after: timedelta


class EmbeddedZone(tzinfo):
    """A zone with these observances, and the same meaning of `fold` as in zoneinfo."""

    def __init__(self, name: str, observances: Iterable[Observance]) -> None:
        self._name = name
        effort = Effort()
        found = [change for observance in observances for change in observance.changes(effort)]
        self._changes = sorted(found, key=attrgetter("at"))
        self._at = [change.at for change in self._changes]
        # A local time that occurs twice, or never, is before the change with fold=0, and after it with fold=1.
        self._local = (
            [change.at + max(change.before, change.after) for change in self._changes],
            [change.at + min(change.before, change.after) for change in self._changes],
        )

    def __str__(self) -> str:
        return self._name

    def utcoffset(self, moment: datetime | None) -> timedelta:
        if moment is None:
            return timedelta()
        return self._offset(bisect_right(self._local[moment.fold], moment.replace(tzinfo=None)))

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str:
        return self._name

    def fromutc(self, moment: datetime) -> datetime:
        at = moment.replace(tzinfo=None)
        passed = bisect_right(self._at, at)
        local = (at + self._offset(passed)).replace(tzinfo=self)
        return local if local.utcoffset() == self._offset(passed) else local.replace(fold=1)

    def _offset(self, passed: int) -> timedelta:
        return self._changes[passed - 1].after if passed else self._changes[0].before
