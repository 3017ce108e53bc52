"""Histories from the roll-ups: whole days, hours and minutes are read; only runs between them are counted.

Those are few: runs of the current minute, and of minutes that a bin contains only in part.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import DateTimeField, Lookup, Q

from orchestration.reading import reader
from orchestration.tables import dialect
from orionflow.contract.states import StateType
from runs.history.selectors.durations import EPOCH, microseconds
from runs.roll_ups.selectors import Subject
from runs.roll_ups.sql import DAY, HOUR, MINUTE, SUMMED, WIDTHS

MICROSECONDS = 60_000_000
# With narrower bins, too many runs would lie outside of whole minutes or hours.
LEAST_STEP = {MINUTE: timedelta(minutes=2), HOUR: timedelta(hours=4)}
RANGES_AT_ONCE = 200

# Each part is a range of the index. By default, planners would compare all parts with all totals of their level.
_OF_PART = {
    "sqlite": "runs_rollup t WHERE t.subject = %s AND t.level = p.level "
    "AND likelihood(t.bucket >= p.since, 0.0001) AND likelihood(t.bucket < p.until, 0.0001)",
    "postgresql": "LATERAL (SELECT * FROM runs_rollup r WHERE r.subject = %s AND r.level = p.level "
    "AND r.bucket >= p.since AND r.bucket < p.until OFFSET 0) t WHERE true",
}

# By bin, type and name of state: the number of runs, their run time and their lateness in microseconds.
Counted = dict[tuple[int, str, str], tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Whole minutes or hours of one bin, all in the past or all in the future; times are minutes since 1970."""

    bin: int
    has_come: bool
    since: int
    until: int


def can_be_rolled(subject: Subject, step: timedelta) -> bool:
    return step >= LEAST_STEP[_least(subject)]


def stretches(subject: Subject, edges: Sequence[datetime], now: datetime) -> list[Stretch]:
    """Return the stretches of the roll-ups between the edges, without the current minute or hour."""
    least = _least(subject)
    unit = least * MICROSECONDS
    going_on = microseconds(now) // unit * least
    found = []
    for index, (first, last) in enumerate(zip(edges, edges[1:], strict=False)):
        since, until = -(-microseconds(first) // unit) * least, microseconds(last) // unit * least
        for begin, end, has_come in (
            (since, min(until, going_on), True),
            (max(since, going_on + least), until, False),
        ):
            if begin < end:
                found.append(Stretch(index, has_come, begin, end))
    return found


def between(subject: Subject, edges: Sequence[datetime], rolled: Sequence[Stretch]) -> Iterator[Q]:
    """Yield conditions for the subject's runs outside of the stretches, with up to RANGES_AT_ONCE ranges in each."""
    ranges, begin = [], edges[0]
    for stretch in rolled:
        ranges.append((begin, _moment(stretch.since)))
        begin = _moment(stretch.until)
    ranges = [(since, until) for since, until in [*ranges, (begin, edges[-1])] if since < until]
    for index in range(0, len(ranges), RANGES_AT_ONCE):
        yield Q(expected_start_time__orion_within=Ranges(subject, ranges[index : index + RANGES_AT_ONCE]))


@dataclass(frozen=True, slots=True)
class Ranges:
    """A subject, and ranges of the expected start time of its runs."""

    subject: Subject
    ranges: Sequence[tuple[datetime, datetime]]


@DateTimeField.register_lookup
class Within(Lookup):
    """A lookup for one of many ranges. As one piece of SQL, because hundreds of conditions take the ORM long.

    Each range names the subject, so that one index is enough.
    """

    lookup_name = "orion_within"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        column, params = compiler.compile(self.lhs)
        whose = self.rhs.subject
        own, values = "", []
        if isinstance(whose.id, UUID):
            own = f" AND {connection.ops.quote_name(self.lhs.alias)}.{whose.column}_id = %s"
            values = [dialect().uuid(whose.id)]
        moment = dialect().moment
        asked = [*params]
        for since, until in self.rhs.ranges:
            asked += [moment(since), moment(until), *values]
        part = f"({column} >= %s AND {column} < %s{own})"
        return f"({' OR '.join([part] * len(self.rhs.ranges))})", asked


def rolled_up(subject: Subject, rolled: Sequence[Stretch], now: datetime) -> Counted:
    """Sum up the stretches in one query, so that changes that are moved to the totals meanwhile are counted once."""
    if not rolled:
        return {}
    # Literals, because hundreds of bins would need thousands of parameters. All of them are made from numbers.
    parts = ", ".join(str(part) for stretch in rolled for part in _parts(stretch))
    with reader().cursor() as cursor:
        cursor.execute(
            f"WITH part(bin, has_come, level, since, until) AS (VALUES {parts}) "
            f"SELECT p.bin, p.has_come, '' AS minute, t.state_type, t.state_name, {SUMMED} FROM part p "
            f"CROSS JOIN {_OF_PART[connection.vendor]} AND t.state_type <> '' GROUP BY 1, 2, 3, 4, 5 "
            f"UNION ALL SELECT 0, 0, c.minute, c.state_type, c.state_name, {SUMMED} FROM runs_rollupchange c "
            f"WHERE c.{subject.column} = %s AND c.minute >= %s AND c.minute < %s AND c.state_type <> '' "
            "GROUP BY 1, 2, 3, 4, 5",
            [
                subject.key,
                *(subject.key, _bucket(rolled[0].since, MINUTE), _bucket(rolled[-1].until, MINUTE)),
            ],
        )
        rows = cursor.fetchall()
    return _summed(rows, rolled, now)


def _summed(rows: Sequence[Any], rolled: Sequence[Stretch], now: datetime) -> Counted:
    begins = [stretch.since for stretch in rolled]
    counted: Counted = {}
    for index, has_come, minute, state_type, state_name, *numbers in rows:
        if minute:
            at = microseconds(datetime.fromisoformat(f"{minute}+00:00")) // MICROSECONDS
            stretch = rolled[bisect_right(begins, at) - 1]
            if at >= stretch.until:
                continue
            index, has_come = stretch.bin, stretch.has_come
        key = (index, state_type, state_name)
        counted[key] = added(counted.get(key), _estimated(state_type, bool(has_come), [*map(int, numbers)], now))
    return {key: numbers for key, numbers in counted.items() if numbers[0]}


def added(known: tuple[int, int, int] | None, more: tuple[int, int, int]) -> tuple[int, int, int]:
    return more if known is None else (known[0] + more[0], known[1] + more[1], known[2] + more[2])


def _estimated(state_type: str, has_come: bool, numbers: Sequence[int], now: datetime) -> tuple[int, int, int]:
    """Return the number of runs, and their total run time and lateness by now."""
    runs, run_time, lateness, running_since, waiting, waiting_since = numbers
    milliseconds = microseconds(now) // 1000
    if state_type == StateType.RUNNING:
        run_time += (runs * milliseconds - running_since) * 1000
    if has_come:
        lateness += (waiting * milliseconds - waiting_since) * 1000
    return runs, run_time, lateness


def _parts(stretch: Stretch) -> Iterator[tuple[int, int, int, str, str]]:
    for level, since, until in _levels(stretch.since, stretch.until, (DAY, HOUR, MINUTE)):
        yield stretch.bin, int(stretch.has_come), level, _bucket(since, level), _bucket(until, level)


def _levels(since: int, until: int, levels: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield as many whole days as possible, then hours before and after them, then minutes."""
    level, *finer = levels
    first, last = -(-since // level) * level, until // level * level
    if first >= last:
        yield from _levels(since, until, finer)
        return
    if since < first:
        yield from _levels(since, first, finer)
    yield level, first, last
    if last < until:
        yield from _levels(last, until, finer)


def _least(subject: Subject) -> int:
    """Return the finest level that the roll-ups of this subject have."""
    return MINUTE if subject.column == "kind" else HOUR


def _moment(minutes: int) -> datetime:
    return EPOCH + timedelta(minutes=minutes)


def _bucket(minutes: int, level: int) -> str:
    return _moment(minutes).isoformat(" ")[: WIDTHS[level]]
