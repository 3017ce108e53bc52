"""The states of runs: the current ones of a whole page in one query, and the history of one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

from django.db import connection
from django.db.models import BooleanField
from django.db.models.expressions import RawSQL

from deployments.models import WorkQueue
from orchestration.compiled import Compiled
from orchestration.core.folding import NEAR, FoldedState, number_of, unfold
from orchestration.large import completed, without_large
from orionflow.contract.states import USUAL_NAMES
from runs.models import FlowRun, FlowRunState, TaskRun, TaskRunState

_flow_run_states = Compiled(lambda ids: FlowRunState.objects.filter(pk__in=ids).order_by())


def current_flow_run_states(runs: Iterable[FlowRun]) -> dict[UUID | None, FlowRunState]:
    """Return the current states of these flow runs, by state id."""
    ids = [run.state_id for run in runs if run.state_id]
    return {state.pk: state for state in _flow_run_states(ids)} if ids else {}


def current_task_run_states(runs: Iterable[TaskRun]) -> dict[UUID | None, TaskRunState]:
    """Return the current states of these task runs, by state id."""
    folded, ids = _apart(runs)
    return {**folded, **(TaskRunState.objects.in_bulk(ids) if ids else {})}


def listed_flow_run_states(runs: Iterable[FlowRun]) -> dict[UUID | None, FlowRunState]:
    """Return the current states as lists show them, without large data, by state id."""
    ids = [run.state_id for run in runs if run.state_id]
    rows = without_large(FlowRunState.objects.filter(pk__in=ids), "data") if ids else []
    return {row.pk: row for row in completed(list(rows), "data")}


def listed_task_run_states(runs: Iterable[TaskRun]) -> dict[UUID | None, TaskRunState]:
    """Return the current states as lists show them, without large data, by state id."""
    folded, ids = _apart(runs)
    rows = without_large(TaskRunState.objects.filter(pk__in=ids), "data") if ids else []
    return {**folded, **{row.pk: row for row in completed(list(rows), "data")}}


_pools_of_queues = Compiled(
    lambda ids: (
        WorkQueue.objects.filter(pk__in=ids, work_pool__isnull=False)
        .order_by()
        .values_list("pk", "work_pool_id", "work_pool__name")
    )
)


def pools_of(runs: Iterable[FlowRun]) -> dict[UUID | None, tuple[UUID, str]]:
    """Return id and name of the work pool, by the id of the work queue; no query if no run is in a queue."""
    ids = list({run.work_queue_id for run in runs if run.work_queue_id})
    return {queue: (pool, name) for queue, pool, name in _pools_of_queues(ids)} if ids else {}


# --- states of task runs: some have a row, others are folded into the row of their run --------------------------------

# The times of a run; each of its folded states has one of them.
_TIMES = ("expected_start_time", "start_time", "end_time")
# The latest time of a state in milliseconds since 1970. The time within an id can be later than a database can store.
_LATEST = int((datetime.max.replace(tzinfo=UTC) - 2 * NEAR).timestamp() * 1000)
# The columns of a run that are needed to unfold its states.
FOLDED = ("seq", "state_id", "folded_states")


def unfolded(run: TaskRun) -> list[TaskRunState]:
    """Return the states that are folded into the run's row, as unsaved rows. They are the first states of the run."""
    if not run.folded_states:
        return []
    return [_as_row(run, seq, state) for seq, state in enumerate(unfold(bytes(run.folded_states)), 1)]


def is_wholly_folded(run: TaskRun) -> bool:
    """Whether none of its states has a row."""
    return bool(run.folded_states) and number_of(bytes(run.folded_states or b"")) == run.seq


def states_of_task_run(run: TaskRun) -> list[TaskRunState]:
    """Return the history of a run, oldest first. At most one query."""
    folded = unfolded(run)
    if is_wholly_folded(run):
        return folded
    return [*folded, *TaskRunState.objects.filter(task_run=run).order_by("seq")]


def newest_states_of_task_run(run: TaskRun, most: int) -> list[TaskRunState]:
    """Return the newest states of a run, the newest first, without their data. At most one query."""
    rows: list[TaskRunState] = []
    if not is_wholly_folded(run):
        rows = list(TaskRunState.objects.filter(task_run=run).defer("data").order_by("-seq")[:most])
    return [*rows, *reversed(unfolded(run))][:most]


def listed_states_of_task_run(run_id: UUID) -> Sequence[TaskRunState]:
    """Return the history of a run as lists show it, without large data; empty if there is no such run."""
    run = TaskRun.objects.filter(pk=run_id).only(*FOLDED, "flow_run_id").first()
    if run is None:
        return []
    rows: list[TaskRunState] = []
    if not is_wholly_folded(run):
        rows = list(without_large(TaskRunState.objects.filter(task_run=run).order_by("seq"), "data"))
    for row in rows:
        row.task_run = run
    return [*unfolded(run), *completed(rows, "data")]


def current_task_run_state(run: TaskRun) -> TaskRunState | None:
    """Return the state that a run is in. At most one query."""
    if is_wholly_folded(run):
        return unfolded(run)[-1]
    return TaskRunState.objects.filter(task_run=run, seq=run.seq).first()


def task_run_state(id: UUID) -> TaskRunState | None:
    """Return one state. A folded one is searched among the runs that have a time close to when the id was made."""
    row = TaskRunState.objects.select_related("task_run").filter(pk=id).first()
    if row is not None or id.version != 7 or (id.int >> 80) > _LATEST:
        return row
    for run in _runs_that_may_hold(id):
        for state in unfolded(run):
            if state.pk == id:
                return state
    return None


def passages_of_task_runs(runs: Sequence[TaskRun], most: int) -> dict[UUID, list[tuple[str, datetime]]]:
    """Return type and time of the states of these runs, oldest first, by run. At most one query, of `most` rows."""
    found = {run.pk: [(state.type, state.timestamp) for state in unfolded(run)] for run in runs}
    apart = [run.pk for run in runs if not is_wholly_folded(run)]
    if apart:
        rows = TaskRunState.objects.filter(task_run__in=apart).order_by("task_run", "seq")
        for run_id, kind, at in rows.values_list("task_run_id", "type", "timestamp")[:most]:
            found[run_id].append((kind, at))
    return found


def _apart(runs: Iterable[TaskRun]) -> tuple[dict[UUID | None, TaskRunState], list[UUID]]:
    """Return the current states that are folded, and the ids of those that have rows."""
    folded: dict[UUID | None, TaskRunState] = {}
    ids = []
    for run in runs:
        if is_wholly_folded(run):
            folded[run.state_id] = unfolded(run)[-1]
        elif run.state_id:
            ids.append(run.state_id)
    return folded, ids


def _as_row(run: TaskRun, seq: int, state: FoldedState) -> TaskRunState:
    return TaskRunState(
        id=state.id,
        task_run=run,
        seq=seq,
        type=state.type.value,
        name=USUAL_NAMES[state.type],
        timestamp=state.timestamp,
        details=state.details,
        trail=[list(line) for line in state.trail],
        client_timestamp=state.client_timestamp,
        epoch=state.epoch,
        author=state.author,
    )


def _runs_that_may_hold(id: UUID) -> Iterator[TaskRun]:
    """Yield the runs whose folded states may have this id: one query for each of the times that a state may have."""
    made = datetime.fromtimestamp((id.int >> 80) / 1000, UTC)
    held = RawSQL(_HELD[connection.vendor], [id.bytes], output_field=BooleanField())  # noqa: S611 (constants)
    for column in _TIMES:
        about = {f"{column}__gte": made - NEAR, f"{column}__lte": made + NEAR, "folded_states__isnull": False}
        yield from TaskRun.objects.filter(held, **about).order_by()


_HELD = {
    "sqlite": "instr(runs_taskrun.folded_states, %s) > 0",
    "postgresql": "position(%s::bytea in runs_taskrun.folded_states) > 0",
}
