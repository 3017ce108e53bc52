"""The tasks of flow runs: the number, the states and the times of all runs of a task, summed up by the database.

A flow run may have 100,000 task runs, so only some are read: all of the tasks with few runs, and as many of the others
as have room.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Coalesce

from orchestration.reading import reader
from orchestration.tables import FLOW_RUNS, dialect
from orionflow.contract.states import TERMINAL
from runs.models import FlowRun, TaskRun
from runs.pages.selectors.task_keys import OF_TASK, with_task_keys

# The most task runs that are all read, and how many are read if there are more, as these are only some anyway. Then
# also the most tasks of a flow run, in the order of their keys, and the most of them of which not all runs are read.
RUNS_SUMMED, RUNS_OF_MANY, TASKS_SUMMED, MOST_CUT = 20_000, 5_000, 300, 200
# More than the timeline shows apart, so that a task that is cut stays one row.
LEAST_SHARE = 10
COLUMNS = ("task_key", "state_type", "name", "began", "start_time", "end_time", "total_run_time")

# Some task runs, and the flow run that all of them belong to, if that is only one.
Part = tuple[UUID | None, QuerySet[TaskRun]]


@dataclass(slots=True)
class SummedTask:
    """All runs of one task, or the first in the order of their keys; then it is cut."""

    key: str
    is_cut: bool = False
    name: str = ""
    by_type: dict[str, int] = field(default_factory=dict)
    begin: datetime | None = None
    end: datetime | None = None
    # Of the runs that started and are over.
    shortest: timedelta | None = None
    longest: timedelta | None = None
    has_started: bool = False

    @property
    def number(self) -> int:
        return sum(self.by_type.values())


@dataclass(frozen=True, slots=True)
class TaskSums:
    """The tasks of each flow run. If they are cut, the flow runs have more task runs than were read."""

    of: Mapping[UUID, Sequence[SummedTask]]
    is_cut: bool = False


def summed_tasks(run_id: UUID, opened: Sequence[UUID] = ()) -> TaskSums:
    """Return the tasks of a flow run, and of each opened run that is nested in it or in another of them.

    One query. Two more if they have more task runs than are read; one more if they have none.
    """
    ids = [run_id, *opened]
    flow_runs = FlowRun.objects.filter(pk=run_id)
    if opened:
        flow_runs = FlowRun.objects.filter(Q(pk=run_id) | Q(parent_task_run__flow_run__in=ids), pk__in=ids)
    within = flow_runs.order_by().values("pk")
    sums: dict[UUID, dict[str, SummedTask]] = {one: {} for one in ids}
    # In the order of their unique index, as SQLite might otherwise read the whole table.
    runs = TaskRun.objects.order_by("flow_run_id", "task_key", "dynamic_key")
    everything = (None, runs.filter(flow_run__in=within)) if opened else (run_id, runs.filter(flow_run=run_id))
    if _sum(sums, [everything], most=RUNS_SUMMED) or not (numbers := _numbers_of_runs(within)):
        return TaskSums(_listed(sums))
    share = _share_of_each(list(numbers.values()))
    whole: dict[UUID, list[str]] = defaultdict(list)
    cut = [task for task, number in numbers.items() if number > share][:MOST_CUT]
    for (flow_run, key), number in numbers.items():
        if number <= share:
            whole[flow_run].append(key)
    parts: list[Part] = [
        (one, runs.filter(flow_run=one, task_key__in=keys)[:RUNS_OF_MANY]) for one, keys in whole.items()
    ]
    _sum(sums, [*parts, *((one, runs.filter(flow_run=one, task_key=key)[:share]) for one, key in cut)])
    for flow_run, key in cut:
        sums[flow_run][key].is_cut = True
    return TaskSums(_listed(sums), is_cut=True)


def _listed(sums: Mapping[UUID, Mapping[str, SummedTask]]) -> dict[UUID, list[SummedTask]]:
    return {one: list(tasks.values()) for one, tasks in sums.items()}


def _sum(sums: Mapping[UUID, dict[str, SummedTask]], parts: Sequence[Part], most: int | None = None) -> bool:
    """Add task runs to the sums, unless the only part has more than `most`. Return whether there were any.

    The database groups them, because ten thousand rows take longer in Python, and hold up other requests there.
    """
    began = Coalesce("start_time", "expected_start_time", "created")
    texts: list[str] = []
    values: list[Any] = []
    for place, (flow_run, part) in enumerate(parts):
        text, params = part.annotate(began=began).values("flow_run_id", *COLUMNS).query.sql_with_params()
        if most is not None:
            # No row if there are too many; an index is enough to count them.
            number, more = part.annotate(one=Value(1)).values("one")[: most + 1].query.sql_with_params()
            text += f" LIMIT (SELECT CASE WHEN COUNT(*) <= {most} THEN {most} ELSE 0 END FROM ({number}) AS counted)"
            params += more
        # Numbers take less time to group than ids.
        of = "NULL" if flow_run else "flow_run_id"
        texts.append(f"SELECT {place} AS place, {of} AS flow_run, {', '.join(COLUMNS)} FROM ({text}) AS part{place}")
        values += params
    period = "CASE WHEN start_time IS NOT NULL THEN total_run_time END"
    with reader().cursor() as cursor:
        cursor.execute(
            "SELECT place, flow_run, task_key, state_type, COUNT(*), MIN(name), MIN(began), MAX(end_time), "
            f"MIN({period}), MAX({period}), COUNT(start_time) FROM ({' UNION ALL '.join(texts)}) AS runs "
            "GROUP BY 1, 2, 3, 4",
            values,
        )
        rows = cursor.fetchall()
    read_uuid = dialect().read_uuid
    for place, of, key, state_type, number, name, *times, started in rows:
        task = sums[parts[place][0] or read_uuid(of)].setdefault(key, SummedTask(key))
        task.name = task.name or name.rsplit("-", 1)[0]
        task.by_type[state_type or ""] = number
        first, last = (_moment(value) for value in times[:2])
        task.begin, task.end = _least(task.begin, first), _most(task.end, last)
        task.has_started |= started > 0
        if state_type in TERMINAL:
            shortest, longest = (None if value is None else dialect().read_period(value) for value in times[2:])
            task.shortest, task.longest = _least(task.shortest, shortest), _most(task.longest, longest)
    return bool(rows)


def _numbers_of_runs(flow_runs: QuerySet[FlowRun, Any]) -> dict[tuple[UUID, str], int]:
    """Return for each flow run and key of a task how many runs it has, counted up to a limit. One query."""
    asked, values = flow_runs.query.sql_with_params()
    runs = f"SELECT 1 {OF_TASK} LIMIT {RUNS_OF_MANY + 1}"
    with reader().cursor() as cursor:
        cursor.execute(
            with_task_keys(f"SELECT 0, f.id FROM {FLOW_RUNS.runs} f WHERE f.id IN ({asked})", TASKS_SUMMED)
            + f"SELECT w.run, w.task_key, (SELECT COUNT(*) FROM ({runs}) AS counted) "
            "FROM walked w WHERE w.task_key IS NOT NULL",
            values,
        )
        return {(dialect().read_uuid(run), key): number for run, key, number in cursor.fetchall()}


def _share_of_each(numbers: Sequence[int]) -> int:
    """Return the most runs of one task that are read, so that all tasks together have about RUNS_OF_MANY."""
    room = RUNS_OF_MANY
    for place, number in enumerate(sorted(numbers)):
        share = max(LEAST_SHARE, room // (len(numbers) - place))
        if number > share:
            return share
        room -= number
    return RUNS_OF_MANY


def _moment(value: Any) -> datetime | None:
    # SQLite returns the least of some times as text.
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return None if value is None else value.replace(tzinfo=value.tzinfo or UTC)


def _least(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else min(one, other)


def _most(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else max(one, other)
