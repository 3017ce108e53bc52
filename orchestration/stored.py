"""Runs as they are stored. One query reads a run, its current state and, for a task run, the state of its flow run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from orchestration.core.decide import Judgement, ParentFlowRun
from orchestration.core.folding import number_of, unfold
from orchestration.core.runs import Run
from orchestration.core.states import State, StateType
from orchestration.core.verdicts import ACCEPT, Accept, Reject
from orchestration.json_columns import details_from, policy_from, tags_from, trail_from
from orchestration.new_runs import Call, NewTaskRun
from orchestration.tables import FLOW_RUNS, Dialect, Tables, dialect, fetch, lock


@dataclass(slots=True)
class StoredRun:
    """A run as it was read, with columns that the rules do not see."""

    run: Run
    state: State | None
    seq: int
    policy: str
    was_refused: bool
    epoch: int
    flow_id: UUID | None = None
    work_queue_id: UUID | None = None
    # The agent that executes it.
    agent_id: UUID | None = None
    # When agents were last notified of it.
    hinted_at: datetime | None = None
    parent: ParentFlowRun | None = None
    # The first states of a task run, as far as they have no rows of their own (`orchestration.core.folding`).
    folded: bytes = b""


# Read by position: what follows these columns begins at `row[18]`.
_RUN = (
    "r.id, r.tags, r.empirical_policy, r.seq, r.state_id, r.state_type, r.state_name, r.state_timestamp, r.run_count, "
    "r.start_time, r.end_time, r.total_run_time, r.expected_start_time, r.next_scheduled_start_time, "
    "r.refusal IS NOT NULL, s.message, s.data, s.details"
)
_SELECT_FLOW_RUNS = (
    f"SELECT {_RUN}, r.epoch, r.flow_id, r.parent_task_run_id, r.deployment_id, r.infrastructure_pid, r.work_queue_id, "
    "l.flow_run_id IS NOT NULL, l.worker_id, r.process IS NOT NULL, r.hinted_at FROM runs_flowrun r "
    "LEFT JOIN runs_flowrunstate s ON s.id = r.state_id "
    "LEFT JOIN deployments_lease l ON l.flow_run_id = r.id WHERE r.id IN "
)
_SELECT_TASK_RUNS = (
    f"SELECT {_RUN}, f.epoch, r.flow_run_id, r.flow_run_run_count, r.folded_states, "
    "f.state_id, f.state_type, f.state_name, f.state_timestamp, f.run_count "
    "FROM runs_taskrun r LEFT JOIN runs_taskrunstate s ON s.id = r.state_id "
    "LEFT JOIN runs_flowrun f ON f.id = r.flow_run_id WHERE r.id IN "
)


def read_runs(tables: Tables, run_ids: Sequence[UUID]) -> dict[UUID, StoredRun]:
    """Return the runs that exist, by id."""
    read, select = (_flow_run, _SELECT_FLOW_RUNS) if tables is FLOW_RUNS else (_task_run, _SELECT_TASK_RUNS)
    db = dialect()
    return {stored.run.id: stored for row in fetch(select, run_ids) if (stored := read(row, db))}


def locked_run(tables: Tables, run_id: UUID) -> StoredRun:
    """Return the run, locked until the end of the transaction. Raises FlowRunNotFound and TaskRunNotFound."""
    lock(tables, [run_id])
    found = read_runs(tables, [run_id])
    if run_id not in found:
        raise tables.missing(id=run_id)
    return found[run_id]


def _flow_run(row: tuple[Any, ...], db: Dialect) -> StoredRun:
    epoch, flow_id, parent_task_run_id, deployment_id, pid, work_queue_id, *lease, in_program, hinted_at = row[18:]
    leased, agent_id = lease
    run_id = db.read_uuid(row[0])
    parent_task_run_id = _maybe(db.read_uuid, parent_task_run_id)
    run = _run(
        row,
        db,
        kind="flow-run",
        parent_task_run_id=parent_task_run_id,
        deployment_id=_maybe(db.read_uuid, deployment_id),
        infrastructure_pid=pid,
        leased=bool(leased),
        is_in_a_program=bool(in_program),
        epoch=epoch,
    )
    state = _current_state(row, db, run_id, parent_task_run_id)
    stored = StoredRun(run, state, row[3], row[2], bool(row[14]), epoch, flow_id=db.read_uuid(flow_id))
    stored.work_queue_id = _maybe(db.read_uuid, work_queue_id)
    stored.agent_id = _maybe(db.read_uuid, agent_id)
    stored.hinted_at = _maybe(db.read_moment, hinted_at)
    return stored


def _task_run(row: tuple[Any, ...], db: Dialect) -> StoredRun:
    epoch, flow_run_id, flow_run_run_count, folded, *parent = row[18:]
    run_id = db.read_uuid(row[0])
    flow_run_id = _maybe(db.read_uuid, flow_run_id)
    run = _run(row, db, kind="task-run", flow_run_id=flow_run_id, flow_run_run_count=flow_run_run_count)
    state = _current_state(row, db, flow_run_id, run_id)
    folded = folded or b""
    if state is not None and state.is_terminal and number_of(folded) == row[3]:
        # Only a final state can have a detail when it is folded.
        last = unfold(folded)[-1]
        state = replace(state, details=last.details_of(state.details))
    stored = StoredRun(run, state, row[3], row[2], bool(row[14]), epoch or 0, folded=folded)
    if flow_run_id is not None:
        stored.parent = parent_from(flow_run_id, *parent, db=db)
    return stored


def _run(row: tuple[Any, ...], db: Dialect, **own: Any) -> Run:
    return Run(
        id=db.read_uuid(row[0]),
        tags=tags_from(row[1]),
        policy=policy_from(row[2]),
        run_count=row[8],
        start_time=_maybe(db.read_moment, row[9]),
        end_time=_maybe(db.read_moment, row[10]),
        total_run_time=db.read_period(row[11]),
        expected_start_time=_maybe(db.read_moment, row[12]),
        next_scheduled_start_time=_maybe(db.read_moment, row[13]),
        **own,
    )


def _current_state(
    row: tuple[Any, ...], db: Dialect, flow_run_id: UUID | None, task_run_id: UUID | None
) -> State | None:
    if row[4] is None:
        return None
    return State(
        id=db.read_uuid(row[4]),
        type=StateType(row[5]),
        name=row[6],
        timestamp=db.read_moment(row[7]),
        message=row[15],
        data=None if row[16] is None else json.loads(row[16]),
        details=details_from(row[17] or "{}", flow_run_id, task_run_id),
    )


def parent_from(
    flow_run_id: UUID,
    state_id: Any,
    state_type: str | None,
    state_name: str,
    state_timestamp: Any,
    run_count: int,
    *,
    db: Dialect,
) -> ParentFlowRun:
    """Return the flow run for rules about task runs. The details of its state are read later, if it is paused."""
    if state_type is None:
        return ParentFlowRun(flow_run_id, None, run_count)
    state = State(
        id=db.read_uuid(state_id),
        type=StateType(state_type),
        name=state_name,
        timestamp=db.read_moment(state_timestamp),
    )
    return ParentFlowRun(flow_run_id, state, run_count)


def _maybe(read: Any, value: Any) -> Any:
    return None if value is None else read(value)


# --- what a batch concerns ---------------------------------------------------------------------------------------


def hold_attempts(epochs: Mapping[UUID, int]) -> None:
    """Lock these flow runs, so that no new attempt starts while a report of the current one is processed."""
    if epochs and connection.vendor == "postgresql":
        # SHARE: reports of one attempt do not wait for each other, and no new attempt begins between them.
        fetch("SELECT id FROM runs_flowrun WHERE id IN ", sorted(epochs), " ORDER BY id FOR SHARE")


def known_calls(calls: Sequence[NewTaskRun]) -> dict[Call, UUID]:
    """Return the stored runs of these calls, by flow run, task key and dynamic key."""
    db = dialect()
    keys = [(db.uuid(c.flow_run_id), c.task_key, c.dynamic_key) for c in calls if c.flow_run_id is not None]
    if not keys:
        return {}
    values = ", ".join(["(%s, %s, %s)"] * len(keys))
    with connection.cursor() as cursor:
        # SQLite scans the whole table for `(…) IN (VALUES …)`, but follows the order of a CROSS JOIN.
        cursor.execute(
            f"WITH call (flow_run_id, task_key, dynamic_key) AS (VALUES {values}) "
            "SELECT run.id, run.flow_run_id, run.task_key, run.dynamic_key FROM call CROSS JOIN runs_taskrun run "
            "WHERE run.flow_run_id = call.flow_run_id AND run.task_key = call.task_key "
            "AND run.dynamic_key = call.dynamic_key",
            [value for key in keys for value in key],
        )
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return {(db.read_uuid(row[1]), row[2], row[3]): db.read_uuid(row[0]) for row in rows}


def read_parents(run_ids: set[UUID]) -> tuple[dict[UUID, ParentFlowRun], dict[UUID, int], list[UUID]]:
    """Return the flow runs, their epochs, and the ids of those that are nested in others."""
    db = dialect()
    rows = fetch(
        "SELECT id, epoch, state_id, state_type, state_name, state_timestamp, run_count, parent_task_run_id "
        "FROM runs_flowrun WHERE id IN ",
        sorted(run_ids),
    )
    parents = [parent_from(db.read_uuid(row[0]), *row[2:7], db=db) for row in rows]
    epochs = {db.read_uuid(row[0]): row[1] for row in rows}
    nested = [db.read_uuid(row[0]) for row in rows if row[7] is not None]
    return {parent.id: parent for parent in parents}, epochs, nested


def stopping_ancestors(nested: Sequence[UUID]) -> dict[UUID, StateType]:
    """Return the states of flow runs around nested ones that are stopping or paused.

    A nested run reports only for itself, so the reply to it must also contain the orders for the runs around it.
    """
    db = dialect()
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
    return {db.read_uuid(row[0]): StateType(row[1]) for row in rows}


# --- states by id ------------------------------------------------------------------------------------------------

_STATE = "id, type, name, timestamp, message, data, details, trail, verdict, proposal_id"


@dataclass(frozen=True, slots=True)
class StoredState:
    """A state as it was written, with the verdict that the client received."""

    run_id: UUID
    state: State
    trail: tuple[Judgement, ...]
    verdict: Accept | Reject


def read_states(tables: Tables, ids: Sequence[UUID], flow_run_ids: dict[UUID, UUID | None]) -> dict[UUID, StoredState]:
    """Return the states written for these proposals, by proposal id. `flow_run_ids` completes states of task runs."""
    db = dialect()
    select = f"SELECT {_STATE}, {tables.run_column} FROM {tables.states} WHERE "
    found = {}
    for column, place in (("id", 0), ("proposal_id", 9)):
        for row in fetch(f"{select}{column} IN ", ids):
            found[db.read_uuid(row[place])] = _stored_state(tables, row, db, flow_run_ids)
    return found


def _stored_state(
    tables: Tables, row: tuple[Any, ...], db: Dialect, flow_run_ids: dict[UUID, UUID | None]
) -> StoredState:
    run_id = db.read_uuid(row[10])
    other = flow_run_ids.get(run_id)
    own_ids = (run_id, other) if tables is FLOW_RUNS else (other, run_id)
    trail = trail_from(row[7])
    state = State(
        id=db.read_uuid(row[0]),
        type=StateType(row[1]),
        name=row[2],
        timestamp=db.read_moment(row[3]),
        message=row[4],
        data=None if row[5] is None else json.loads(row[5]),
        details=details_from(row[6], *own_ids),
    )
    verdict = ACCEPT if row[8] == "ACCEPT" else Reject(trail[-1].reason if trail else "", state=state)
    return StoredState(run_id, state, trail, verdict)
