"""Histories from the roll-ups: whole days, hours and minutes are read; only runs of parts of them are counted.

One query does both, so that runs that change their states meanwhile are counted once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from orchestration.reading import reader
from orchestration.tables import FLOW_RUNS, TASK_RUNS, dialect
from orionflow.contract.states import StateType
from runs.history.selectors.durations import EPOCH, microseconds
from runs.history.selectors.pieces import FIRST, LAST, Part, Piece, Place, divided
from runs.roll_ups.selectors import Subject
from runs.roll_ups.sql import DAY, HOUR, MINUTE, SUMS, WIDTHS, roughly_summed, sums_of

MICROSECONDS = 60_000_000

# Each period is a range of an index. By default, planners would compare all periods with all totals of their level, and
# with all runs of the subject. SQLite compares rows, since it could read all of these beforehand for columns that are
# equal, to make a Bloom filter.
_OF_PERIOD = {
    "sqlite": "runs_rollup t WHERE (t.subject, t.level, t.bucket) >= ({subject}, p.level, p.since) "
    "AND (t.subject, t.level, t.bucket) < ({subject}, p.level, p.until)",
    "postgresql": "LATERAL (SELECT * FROM runs_rollup t WHERE t.subject = {subject} AND t.level = p.level "
    "AND t.bucket >= p.since AND t.bucket < p.until OFFSET 0) t WHERE true",
}
_OF_PART = {
    "sqlite": "{runs} r WHERE r.expected_start_time >= p.since AND r.expected_start_time < p.until",
    "postgresql": "LATERAL (SELECT * FROM {runs} r WHERE r.expected_start_time >= p.since "
    "AND r.expected_start_time < p.until OFFSET 0) r WHERE true",
}
_OF_PARENT_AND_PART = {
    "sqlite": "{runs} r INDEXED BY flow_run_by_{parent} WHERE r.{parent}_id IS NOT NULL "
    "AND (r.{parent}_id, r.expected_start_time) >= ({id}, p.since) "
    "AND (r.{parent}_id, r.expected_start_time) < ({id}, p.until)",
    "postgresql": "LATERAL (SELECT * FROM {runs} r WHERE r.{parent}_id = {id} AND r.expected_start_time >= p.since "
    "AND r.expected_start_time < p.until OFFSET 0) r WHERE true",
}
_UUID = {"sqlite": "X'{}'", "postgresql": "'{}'::uuid"}
_MOMENT = {"sqlite": "'{}'", "postgresql": "timestamptz '{}'"}

# By bin, type and name of state: the number of runs, their run time and their lateness in microseconds.
Counted = dict[tuple[int, str, str], tuple[int, int, int]]
# By place, type and name of state: the sums of the roll-ups.
_Sums = dict[tuple[Place, str, str], list[int]]


def rolled_up(subject: Subject, edges: Sequence[datetime], now: datetime) -> Counted:
    """Return the numbers of the subject's runs in the bins between the edges. One query."""
    read, parts = divided(edges, now, _least(subject) * MICROSECONDS)
    selects = [_totals(subject, read), _changes(subject, read)] if read else []
    if parts:
        selects.append(_runs(subject, parts))
    if not selects:
        return {}
    with reader().cursor() as cursor:
        cursor.execute(" UNION ALL ".join(selects))
        rows = cursor.fetchall()
    return _estimated(_added(rows, read, parts), now)


def runs_of_deployments(
    ids: Sequence[UUID], *, since: datetime, until: datetime
) -> Mapping[UUID, Mapping[str, int]] | None:
    """Return the number of runs of each deployment by type of state. One query.

    None if the period is not one of whole hours: the totals of deployments have no minutes.
    """
    piece = Piece(None, microseconds(since), microseconds(until))
    if piece.since % (HOUR * MICROSECONDS) or piece.until % (HOUR * MICROSECONDS):
        return None
    spans = [period[1:] for period in _periods(0, piece)]
    if not ids or not spans:
        return {}
    periods = ", ".join(str((one.hex, *span)) for one in ids for span in spans)
    of_period = _OF_PERIOD[connection.vendor].format(subject="p.subject")
    first, last = (_bucket(moment, MINUTE) for moment in (piece.since, piece.until))
    sql = (
        "SELECT subject, state_type, SUM(runs) FROM (SELECT * FROM ("
        f"WITH period(subject, level, since, until) AS (VALUES {periods}) "
        f"SELECT t.subject, t.state_type, t.runs FROM period p CROSS JOIN {of_period}) totals "
        "UNION ALL SELECT c.deployment, c.state_type, c.runs FROM runs_rollupchange c "
        f"WHERE c.deployment <> '' AND c.minute >= '{first}' AND c.minute < '{last}') counted GROUP BY 1, 2"
    )
    with reader().cursor() as cursor:
        cursor.execute(sql)
        rows = cursor.fetchall()
    known = {one.hex: one for one in ids}
    counted: dict[UUID, dict[str, int]] = defaultdict(dict)
    for subject, state_type, runs in rows:
        if subject in known and state_type and runs:
            counted[known[subject]][state_type] = int(runs)
    return counted


_FROM_TOTALS, _FROM_CHANGES, _FROM_RUNS = range(3)


# Literals, because hundreds of periods would need thousands of parameters. All of them are made from numbers and ids.
def _totals(subject: Subject, read: Sequence[Piece]) -> str:
    periods = ", ".join(str(period) for number, piece in enumerate(read) for period in _periods(number, piece))
    of_period = _OF_PERIOD[connection.vendor].format(subject=f"'{subject.key}'")
    return (
        f"SELECT * FROM (WITH period(number, level, since, until) AS (VALUES {periods}) "
        f"SELECT {_FROM_TOTALS}, p.number, '', t.state_type, t.state_name, {roughly_summed()} FROM period p "
        f"CROSS JOIN {of_period} GROUP BY 1, 2, 3, 4, 5) totals"
    )


def _changes(subject: Subject, read: Sequence[Piece]) -> str:
    first, last = (_bucket(moment, MINUTE) for moment in (read[0].since, read[-1].until))
    return (
        f"SELECT {_FROM_CHANGES}, 0, c.minute, c.state_type, c.state_name, {roughly_summed()} FROM runs_rollupchange c "
        f"WHERE c.{subject.column} = '{subject.key}' AND c.minute >= '{first}' AND c.minute < '{last}' "
        "GROUP BY 1, 2, 3, 4, 5"
    )


def _runs(subject: Subject, parts: Sequence[Part]) -> str:
    vendor = connection.vendor
    periods = ", ".join(
        f"({number}, {_literal(part.piece.since)}, {_literal(part.piece.until)})" for number, part in enumerate(parts)
    )
    if isinstance(subject.id, UUID):
        id = _UUID[vendor].format(subject.id.hex)
        of_part = _OF_PARENT_AND_PART[vendor].format(runs=FLOW_RUNS.runs, parent=subject.column, id=id)
    else:
        of_part = _OF_PART[vendor].format(runs=(FLOW_RUNS if subject.id == FLOW_RUNS.kind else TASK_RUNS).runs)
    return (
        f"SELECT * FROM (WITH part(number, since, until) AS (VALUES {periods}) "
        f"SELECT {_FROM_RUNS}, p.number, '', COALESCE(r.state_type, ''), COALESCE(r.state_name, ''), "
        f"{roughly_summed(sums_of('r'))} FROM part p CROSS JOIN {of_part} "
        "GROUP BY p.number, r.state_type, r.state_name) parts"
    )


def _added(rows: Sequence[Any], read: Sequence[Piece], parts: Sequence[Part]) -> _Sums:
    begins = [piece.since for piece in read]
    sums: _Sums = defaultdict(lambda: [0] * len(SUMS))
    for source, number, minute, state_type, state_name, *numbers in rows:
        signs: list[tuple[Place | None, int]]
        if source == _FROM_RUNS:
            signs = [(parts[number].piece.place, 1), (parts[number].rest, -1)]
        elif source == _FROM_TOTALS:
            signs = [(read[number].place, 1)]
        else:
            at = microseconds(datetime.fromisoformat(f"{minute}+00:00"))
            piece = read[bisect_right(begins, at) - 1]
            signs = [(piece.place if at < piece.until else None, 1)]
        for place, sign in signs:
            if place:
                of_place = sums[place, state_type, state_name]
                of_place[:] = (before + sign * int(more or 0) for before, more in zip(of_place, numbers, strict=True))
    return sums


def _estimated(sums: _Sums, now: datetime) -> Counted:
    """Return the number of runs, and their total run time and lateness by now.

    Sums that were cut off at their bound become periods that are possible: none is negative, or longer than all time.
    """
    counted: Counted = {}
    milliseconds = microseconds(now) // 1000
    for (place, state_type, state_name), numbers in sums.items():
        runs, run_time, lateness, running_since, waiting, waiting_since = numbers
        if not runs or not state_type:
            continue
        if state_type == StateType.RUNNING:
            run_time += _possible((runs * milliseconds - running_since) * 1000, runs)
        if place.has_come:
            lateness += _possible((waiting * milliseconds - waiting_since) * 1000, waiting)
        key = place.bin, state_type, state_name
        before = counted.get(key, (0, 0, 0))
        counted[key] = before[0] + runs, before[1] + _possible(run_time, runs), before[2] + _possible(lateness, runs)
    return counted


def _possible(period: int, runs: int) -> int:
    return min(max(period, 0), max(runs, 0) * (LAST - FIRST))


def _periods(number: int, piece: Piece) -> Iterator[tuple[int, int, str, str]]:
    minutes = piece.since // MICROSECONDS, piece.until // MICROSECONDS
    for level, since, until in _levels(*minutes, (DAY, HOUR, MINUTE)):
        yield number, level, _bucket(since * MICROSECONDS, level), _bucket(until * MICROSECONDS, level)


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


def _literal(moment: int) -> str:
    return _MOMENT[connection.vendor].format(dialect().moment(EPOCH + timedelta(microseconds=moment)))


def _bucket(moment: int, level: int) -> str:
    return (EPOCH + timedelta(microseconds=moment)).isoformat(" ")[: WIDTHS[level]]
