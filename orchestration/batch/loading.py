"""Everything that a batch concerns, read and locked in a fixed number of queries: flow runs first, then task runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection

from orchestration.batch.items import TaskRunTransition
from orchestration.columns import spelling
from orchestration.core.decide import ParentFlowRun
from orchestration.core.runs import Run
from orchestration.core.states import State, StateDetails, StateType
from orchestration.facts import with_pause_details
from orchestration.stored import (
    TASK_RUNS,
    NewTaskRun,
    StoredRun,
    StoredState,
    fetch,
    lock,
    parent_from,
    read_states,
    read_task_runs,
)

Key = tuple[UUID | None, str, str]


@dataclass(slots=True)
class MovingRun:
    """A task run on its way through a batch: as it was read (or made), and as the items so far left it."""

    stored: StoredRun
    # Set when the batch makes the run.
    new: NewTaskRun | None
    run: Run
    state: State | None
    seq: int
    own_details: StateDetails
    refusal: str | None = None
    touched: bool = False

    @classmethod
    def of(cls, stored: StoredRun, new: NewTaskRun | None = None) -> MovingRun:
        run = stored.run
        details = StateDetails(flow_run_id=run.flow_run_id, task_run_id=run.id)
        return cls(stored, new, run, stored.state, stored.seq, details)


@dataclass(slots=True)
class Loaded:
    """The rows behind a batch, by id."""

    runs: dict[UUID, MovingRun]
    by_key: dict[Key, UUID]
    parents: dict[UUID, ParentFlowRun]
    epochs: dict[UUID, int]
    # The flow runs that those are nested in, where somebody wants them to stop or to wait.
    held_ancestors: dict[UUID, StateType]
    states: dict[UUID, StoredState]
    # The stored id of runs that the items call by another one.
    aliases: dict[UUID, UUID] = field(default_factory=dict)


def load(items: Sequence[TaskRunTransition], epochs: Mapping[UUID, int], *, every_state: bool) -> Loaded:
    """`every_state` also looks up state ids that only a mistaken client could have used before."""
    _hold_flow_runs(epochs)
    stored = _task_runs({item.task_run_id for item in items})
    by_key = _known_calls([item.create for item in items if item.create and item.task_run_id not in stored])
    stored.update(_task_runs(set(by_key.values()) - stored.keys()))
    flow_runs = {run.run.flow_run_id for run in stored.values()} | {i.create.flow_run_id for i in items if i.create}
    parents, known_epochs, nested = _flow_runs({one for one in flow_runs if one is not None} | set(epochs))
    runs = {run_id: MovingRun.of(run) for run_id, run in stored.items()}
    states = _given_states(items, runs, by_key, every_state)
    return Loaded(runs, by_key, parents, known_epochs, _held_ancestors(nested), states)


def _hold_flow_runs(epochs: Mapping[UUID, int]) -> None:
    # Whoever carries an epoch may be a writer of the past: nobody may start a new attempt while this one is let in.
    if epochs and connection.vendor == "postgresql":
        fetch("SELECT id FROM runs_flowrun WHERE id IN ", sorted(epochs), " ORDER BY id FOR SHARE")


def _task_runs(run_ids: set[UUID]) -> dict[UUID, StoredRun]:
    ids = sorted(run_ids)
    lock(TASK_RUNS, ids)
    return read_task_runs(ids)


def _known_calls(calls: Sequence[NewTaskRun]) -> dict[Key, UUID]:
    """The stored runs of these calls, by flow run, task key and dynamic key."""
    spell = spelling()
    keys = [(spell.uuid(c.flow_run_id), c.task_key, c.dynamic_key) for c in calls if c.flow_run_id is not None]
    if not keys:
        return {}
    values = ", ".join(["(%s, %s, %s)"] * len(keys))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, flow_run_id, task_key, dynamic_key FROM runs_taskrun "
            f"WHERE (flow_run_id, task_key, dynamic_key) IN (VALUES {values})",
            [value for key in keys for value in key],
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return {(spell.read_uuid(row[1]), row[2], row[3]): spell.read_uuid(row[0]) for row in rows}


def _flow_runs(run_ids: set[UUID]) -> tuple[dict[UUID, ParentFlowRun], dict[UUID, int], list[UUID]]:
    """The flow runs, their epochs, and which of them are nested in others."""
    spell = spelling()
    rows = fetch(
        "SELECT id, epoch, state_id, state_type, state_name, state_timestamp, run_count, parent_task_run_id "
        "FROM runs_flowrun WHERE id IN ",
        sorted(run_ids),
    )
    parents = [parent_from(spell.read_uuid(row[0]), *row[2:7], spell=spell) for row in rows]
    epochs = {spell.read_uuid(row[0]): row[1] for row in rows}
    nested = [spell.read_uuid(row[0]) for row in rows if row[7] is not None]
    return with_pause_details(parents), epochs, nested


def _held_ancestors(nested: Sequence[UUID]) -> dict[UUID, StateType]:
    """Nested runs report for themselves alone, so their replies also tell what is wanted of the runs around them."""
    spell = spelling()
    rows = fetch(
        "WITH RECURSIVE around(id) AS ("
        "SELECT call.flow_run_id FROM runs_taskrun call JOIN runs_flowrun run ON run.parent_task_run_id = call.id "
        "WHERE run.id IN ",
        nested,
        " UNION SELECT call.flow_run_id FROM around JOIN runs_flowrun run ON run.id = around.id "
        "JOIN runs_taskrun call ON call.id = run.parent_task_run_id) "
        "SELECT run.id, run.state_type FROM around JOIN runs_flowrun run ON run.id = around.id "
        "WHERE run.state_type IN ('CANCELLING', 'CANCELLED', 'PAUSED')",
    )
    return {spell.read_uuid(row[0]): StateType(row[1]) for row in rows}


def _given_states(
    items: Iterable[TaskRunTransition], runs: Mapping[UUID, MovingRun], by_key: Mapping[Key, UUID], every_state: bool
) -> dict[UUID, StoredState]:
    """What was answered before to proposals of this batch. A run that is not there yet was never proposed anything."""
    asked = [
        item.proposed.id
        for item in items
        if item.proposed and item.proposed.id and (every_state or item.task_run_id in runs or _is_known(item, by_key))
    ]
    return read_states(TASK_RUNS, asked, {run_id: moving.run.flow_run_id for run_id, moving in runs.items()})


def _is_known(item: TaskRunTransition, by_key: Mapping[Key, UUID]) -> bool:
    return item.create is not None and key_of(item.create) in by_key


def key_of(call: NewTaskRun) -> Key:
    return (call.flow_run_id, call.task_key, call.dynamic_key)
