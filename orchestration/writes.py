"""The rows of runs and of their states. Only this module inserts states and updates runs to match them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import OperationalError

from orchestration.core.decide import Decision
from orchestration.core.folding import FoldedState
from orchestration.core.states import State
from orchestration.json_columns import details_text, stored_data, trail_text, verdict_name
from orchestration.moving import MovingRun
from orchestration.tables import (
    TASK_RUNS,
    Dialect,
    Row,
    Tables,
    dialect,
    insert_returning,
    insert_rows,
    json_text,
    update_rows,
)
from orionflow.contract.states import USUAL_NAMES

STATE_COLUMNS = (
    *("id", "seq", "type", "name", "timestamp", "message", "data", "details"),
    *("trail", "verdict", "proposal_id", "client_timestamp", "epoch", "author"),
)
# Part of the insert, because a separate query for each state, usually without any watcher, would be noticeable.
_RETURNING_WATCHED = (
    "RETURNING EXISTS (SELECT 1 FROM events_notificationpolicy WHERE is_active) "
    "OR EXISTS (SELECT 1 FROM events_automation WHERE enabled)"
)


def state_row(
    db: Dialect,
    moving: MovingRun,
    state: State,
    decision: Decision,
    *,
    proposal_id: UUID | None,
    sent: datetime | None,
    author: str | None,
) -> Row:
    """Return the row of a state that the run has just entered.

    `proposal_id` is given if the id of the state is not that of the proposal; `sent` is the client's time for the
    state.
    """
    assert state.id is not None
    assert state.timestamp is not None
    # Value by value, without loops: batches consist of such rows.
    return (
        db.uuid(state.id),
        moving.seq,
        state.type.value,
        state.name,
        db.moment(state.timestamp),
        state.message,
        stored_data(state.data),
        # Most states have no details besides the ids of their run.
        "{}" if state.details is moving.own_details else details_text(state.details),
        trail_text(decision.trail),
        verdict_name(decision),
        None if proposal_id is None else db.uuid(proposal_id),
        None if sent is None or sent == state.timestamp else db.moment(sent),
        moving.epoch,
        author,
        db.uuid(moving.run.id),
    )


def unfolded_row(db: Dialect, moving: MovingRun, seq: int, state: FoldedState) -> Row:
    """Return the row of a state that was folded into the run's row until now."""
    client = state.client_timestamp
    return (
        db.uuid(state.id),
        seq,
        state.type.value,
        USUAL_NAMES[state.type],
        db.moment(state.timestamp),
        None,
        None,
        json_text(state.details),
        trail_text(state.trail),
        "ACCEPT",
        None,
        None if client is None else db.moment(client),
        state.epoch,
        state.author,
        db.uuid(moving.run.id),
    )


def insert_states(tables: Tables, rows: Sequence[Row]) -> bool:
    """Insert states. Return whether policies or automations watch flow runs, so that their events must be recorded."""
    columns = (*STATE_COLUMNS, tables.run_column)
    if tables is TASK_RUNS:
        insert_rows(tables.states, columns, rows)
        return False
    return any(watched for (watched,) in insert_returning(tables.states, columns, rows, _RETURNING_WATCHED))


def insert_runs(tables: Tables, new: Sequence[MovingRun], now: datetime, *, leave_out_known: bool) -> set[UUID]:
    """Insert runs with the columns that follow from their states. Return the ids of those left out as known."""
    if not new:
        return set()
    db = dialect()
    rows = [moving.row(now) for moving in new]
    names, values = tuple(rows[0]), [db.write([*row.values()]) for row in rows]
    if not leave_out_known:
        insert_rows(tables.runs, names, values)
        return set()
    returned = insert_returning(tables.runs, names, values, "ON CONFLICT DO NOTHING RETURNING id")
    return {moving.run.id for moving in new} - {db.read_uuid(row[0]) for row in returned}


def update_runs(tables: Tables, moved: Sequence[MovingRun], now: datetime) -> None:
    """Update the runs. The condition on `seq` is a second protection, in addition to the lock."""
    if not moved:
        return
    db, rows = dialect(), []
    # One statement for all runs: it sets the columns that changed in any of them, so that no index is updated
    # needlessly.
    names = tuple(sorted(set().union(*(moving.changes() for moving in moved))))
    for moving in moved:
        columns = moving.columns(now)
        rows.append(db.write([*(columns[name] for name in names), moving.run.id, moving.stored.seq]))
    if update_rows(tables.runs, names, rows, ("id", "seq")) != len(rows):
        raise OperationalError(f"a {tables.kind} was moved by somebody else while it was locked")
