"""The runs of tasks with many runs, counted by the slices of time in which they were due, began and ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Case, DateTimeField, Q, Value, When
from django.db.models.functions import Coalesce

from orchestration.reading import reader
from orchestration.tables import dialect
from orionflow.contract.states import TERMINAL, in_order
from runs.history.selectors.durations import MICROSECOND, Between
from runs.models import TaskRun
from runs.pages.selectors.timeline import Line

# Tasks with more runs have a band: the largest of them, with at most so many runs in all.
FEW_RUNS = 50
MOST_BANDS, RUNS_COUNTED = 40, 20_000

# The id of the subflow run, None for the run of the page, and the key of the task.
Row = tuple[UUID | None, str]


class Moment(NamedTuple):
    """A moment of each of some runs: the slice that it is in, and the sum of their seconds since the first slice.

    Slices are numbered from one; zero is before the first of them.
    """

    slice: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Cohort:
    """Runs of one task in one state that were due, began and ended in the same slices.

    Runs that did not begin count as if they began when they ended, and runs that are not over as if they ended now.
    """

    state_type: str
    number: int
    due: Moment
    began: Moment
    ended: Moment


def cohorts_of(
    *, run_id: UUID, lines: Iterable[Line], edges: Sequence[datetime], now: datetime
) -> Mapping[Row, Sequence[Cohort]]:
    """Return the runs of the largest rows of a timeline; `edges` divide its time into slices. At most one query."""
    chosen = _largest(lines)
    if not chosen:
        return {}
    keys: dict[UUID, list[str]] = defaultdict(list)
    for line in chosen:
        keys[line.of or run_id].append(line.task_key)
    found: dict[Row, list[Cohort]] = defaultdict(list)
    read_uuid = dialect().read_uuid
    with reader().cursor() as cursor:
        cursor.execute(*_statement(keys, edges, now))
        for due, began, ended, task_key, state_type, flow_run, number, *sums in cursor.fetchall():
            moments = [
                Moment(place, float(total) / 1_000_000) for place, total in zip((due, began, ended), sums, strict=True)
            ]
            of = read_uuid(flow_run)
            found[None if of == run_id else of, task_key].append(Cohort(state_type or "", number, *moments))
    return found


def _largest(lines: Iterable[Line]) -> list[Line]:
    chosen, room = [], RUNS_COUNTED
    for line in sorted(lines, key=lambda line: -line.number):
        if line.run is None and not line.is_cut and FEW_RUNS < line.number <= room:
            chosen.append(line)
            room -= line.number
    return chosen[:MOST_BANDS]


def _statement(
    keys: Mapping[UUID, Sequence[str]], edges: Sequence[datetime], now: datetime
) -> tuple[str, tuple[Any, ...]]:
    """Return the SQL that groups the runs, and its parameters.

    The database groups them, because ten thousand rows take longer in Python, and hold up other requests there.
    """
    wanted = Q()
    for flow_run, task_keys in keys.items():
        wanted |= Q(flow_run=flow_run, task_key__in=task_keys)
    begin, present = (Value(moment, output_field=DateTimeField()) for moment in (edges[0], now))
    over = Case(
        When(state_type__in=in_order(TERMINAL), then=Coalesce("end_time", "state_timestamp", present)), default=present
    )
    moments = {
        "due": Coalesce("expected_start_time", "created"),
        "began": Coalesce("start_time", over),
        "ended": over,
    }
    # Numbers are compared several times as fast as texts. With a limit, SQLite computes them once for each run.
    runs = (
        TaskRun.objects.filter(wanted)
        .order_by()
        .annotate(**{name: Between(moment, begin) for name, moment in moments.items()})
        .values("task_key", "state_type", "flow_run_id", *moments)[:RUNS_COUNTED]
    )
    rows, values = runs.query.sql_with_params()
    reached = [(edge - edges[0]) // MICROSECOND for edge in edges]
    columns = [_number_of_slice(name, reached) for name in moments]
    # As floats: a run may be due in the year 9999, and the whole numbers of a few such runs overflow SQLite's sum.
    sums = [f"SUM(CAST({name} AS double precision))" for name in moments]
    columns += ["task_key", "state_type", "flow_run_id", "COUNT(*)", *sums]
    return f"SELECT {', '.join(columns)} FROM ({rows}) AS counted GROUP BY 1, 2, 3, 4, 5, 6", values


def _number_of_slice(column: str, edges: Sequence[int], before: int = 0) -> str:
    """Return SQL for the number of edges that a moment has reached: halved again and again, six comparisons a run."""
    if not edges:
        return str(before)
    middle = len(edges) // 2
    lower = _number_of_slice(column, edges[:middle], before)
    upper = _number_of_slice(column, edges[middle + 1 :], before + middle + 1)
    return f"CASE WHEN {column} < {edges[middle]} THEN {lower} ELSE {upper} END"
