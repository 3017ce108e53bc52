"""Outcomes of task runs over time on SQLite, from three indexes and without the rows.

An index by start has all that started, two small ones have those that ended badly or have not ended. The others
completed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from orchestration.reading import reader
from orchestration.tables import TASK_RUNS, dialect
from orionflow.contract.states import BAD, in_order
from runs.querysets import BAD_TYPES, OPEN_TYPES

_STARTED = "r.start_time >= p.since AND r.start_time < p.until"


def _is_one_of(types: Sequence[str]) -> str:
    # Spelled as in the partial indexes.
    return "(" + " OR ".join(f"r.state_type = '{one}'" for one in types) + ")"


def counted_by_start(edges: Sequence[datetime]) -> list[tuple[int, int]]:
    """Return how many task runs completed and how many failed, for those that started between two edges each.

    One statement, so that a run that ends meanwhile is counted once. A run without a state has not started.
    """
    write, runs = dialect().moment, TASK_RUNS.runs
    parts = ", ".join(
        f"({number}, '{write(since)}', '{write(until)}')" for number, (since, until) in enumerate(pairwise(edges))
    )
    # The first condition is that of the partial index; the second one selects a range of it.
    bad = ", ".join(
        f"(SELECT COUNT(*) FROM {runs} r INDEXED BY task_run_ended_badly_since "
        f"WHERE {_is_one_of(BAD_TYPES)} AND r.state_type = '{one}' AND {_STARTED})"
        for one in BAD_TYPES
    )
    statement = (
        f"WITH part(number, since, until) AS (VALUES {parts}) "
        f"SELECT p.number, (SELECT COUNT(*) FROM {runs} r WHERE {_STARTED}), {bad}, 0 FROM part p "
        f"UNION ALL SELECT p.number, 0, {', '.join('0' for _ in BAD_TYPES)}, COUNT(*) "
        # SQLite keeps the order of a CROSS JOIN: each of the few unfinished runs is read once.
        f"FROM {runs} r INDEXED BY task_run_unfinished CROSS JOIN part p "
        f"WHERE {_is_one_of(OPEN_TYPES)} AND {_STARTED} GROUP BY p.number"
    )
    failures = in_order(BAD)
    counted = [(0, 0)] * (len(edges) - 1)
    with reader().cursor() as cursor:
        cursor.execute(statement)
        for number, started, *ended_badly, still_open in cursor.fetchall():
            completed, failed = counted[number]
            failed += sum(n for one, n in zip(BAD_TYPES, ended_badly, strict=True) if one in failures)
            counted[number] = completed + started - sum(ended_badly) - still_open, failed
    return counted
