"""Writing a transition down: the state's row, and the columns of its run that changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection

from orchestration.columns import Spelling, details_text, json_text, policy_text, spelling, stored_data
from orchestration.core.decide import Decision, Judgement
from orchestration.core.runs import Run
from orchestration.core.states import State, StateType
from orchestration.core.verdicts import Accept, Wait
from orchestration.stored import StoredRun, Tables

_TICK = timedelta(microseconds=1)
# Asked on the way: another query for each state, only to learn that nobody watches, would be felt.
_WATCHED = (
    "EXISTS (SELECT 1 FROM events_notificationpolicy WHERE is_active) "
    "OR EXISTS (SELECT 1 FROM events_automation WHERE enabled)"
)

STATE_COLUMNS = (
    *("id", "seq", "type", "name", "timestamp", "message", "data", "details"),
    *("trail", "verdict", "proposal_id", "client_timestamp", "epoch", "author"),
)
# Columns of a run that bookkeeping may change, with the way they are spelled.
_PLAIN = ("run_count", "flow_run_run_count")
_MOMENTS = ("start_time", "end_time", "expected_start_time", "next_scheduled_start_time")


def next_timestamp(state: State | None, now: datetime) -> datetime:
    """Now, or a moment after the current state's: the states of one run are ordered by their time as well."""
    if state is None or state.timestamp is None or state.timestamp < now:
        return now
    return state.timestamp + _TICK


def state_row(
    spell: Spelling,
    run_id: UUID,
    state: State,
    *,
    seq: int,
    trail: tuple[Judgement, ...],
    verdict: str,
    proposal_id: UUID | None,
    client_timestamp: datetime | None,
    epoch: int,
    author: str | None,
    details: str | None = None,
) -> tuple[Any, ...]:
    """The columns of STATE_COLUMNS and then the run's id. `details` is their text, for a caller who knows it."""
    assert state.id is not None
    assert state.timestamp is not None
    return (
        spell.uuid(state.id),
        seq,
        state.type.value,
        state.name,
        spell.moment(state.timestamp),
        state.message,
        stored_data(state.data),
        details_text(state.details) if details is None else details,
        trail_text(trail),
        verdict,
        spell.uuid(proposal_id) if proposal_id else None,
        spell.moment(client_timestamp) if client_timestamp else None,
        epoch,
        author,
        spell.uuid(run_id),
    )


@lru_cache(maxsize=512)
def trail_text(trail: tuple[Judgement, ...]) -> str:
    return json_text([[line.rule, line.verdict, line.reason] for line in trail])


def insert_state(tables: Tables, row: Sequence[Any]) -> bool:
    """Store the state. Whether somebody watches flow runs, so that the caller must write down what follows from it."""
    marks = ", ".join(["%s"] * len(row))
    insert = f"INSERT INTO {tables.states} ({', '.join(STATE_COLUMNS)}, {tables.run_column}) VALUES ({marks})"
    with connection.cursor() as cursor:
        if tables.kind == "task-run":
            cursor.execute(insert, row)
            return False
        cursor.execute(f"{insert} RETURNING {_WATCHED}", row)
        return any(watched for (watched,) in cursor.fetchall())


def insert_rows(table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert many rows whose values are spelled already: one statement, whatever their number."""
    if not rows:
        return
    names = ", ".join(columns)
    with connection.cursor() as cursor:
        # For one row a prepared statement is faster than COPY, which takes a tenth of the time for many.
        if connection.vendor == "sqlite" or len(rows) == 1:
            marks = ", ".join(["%s"] * len(columns))
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)
            return
        with connection.wrap_database_errors, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def update_run(
    tables: Tables, stored: StoredRun, after: Run, state: State, now: datetime, *, epoch: int | None = None
) -> None:
    """Move the run on to `state`. The condition on `seq` is the belt to the lock's braces."""
    changes = {**_state_columns(state, stored.seq + 1, now), **_changed_columns(stored, after)}
    if epoch is not None and epoch != stored.epoch:
        changes["epoch"] = epoch
    if tables.kind == "flow-run" and state.type is StateType.SCHEDULED:
        # Agents have not been told of this yet.
        changes["hinted_at"] = None
    spell = spelling()
    assignments = ", ".join(f"{name} = %s" for name in changes)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {tables.runs} SET {assignments} WHERE id = %s AND seq = %s",
            [*changes.values(), spell.uuid(stored.run.id), stored.seq],
        )
        if cursor.rowcount != 1:
            raise OperationalError(f"{tables.kind} {stored.run.id} was moved by somebody else while it was locked")


def _state_columns(state: State, seq: int, now: datetime) -> dict[str, Any]:
    spell = spelling()
    assert state.id is not None
    assert state.timestamp is not None
    return {
        "seq": seq,
        "state_id": spell.uuid(state.id),
        "state_type": state.type.value,
        "state_name": state.name,
        "state_timestamp": spell.moment(state.timestamp),
        "updated": spell.moment(now),
    }


def _changed_columns(stored: StoredRun, after: Run) -> dict[str, Any]:
    spell, before, changes = spelling(), stored.run, {}
    for name in _PLAIN:
        if (value := getattr(after, name)) != getattr(before, name):
            changes[name] = value
    for name in _MOMENTS:
        if (value := getattr(after, name)) != getattr(before, name):
            changes[name] = None if value is None else spell.moment(value)
    if after.total_run_time != before.total_run_time:
        changes["total_run_time"] = spell.period(after.total_run_time)
    if after.policy != before.policy:
        changes["empirical_policy"] = policy_text(stored.policy, before.policy, after.policy)
    if stored.was_refused:
        changes["refusal"] = None
    return changes


def update_refusal(tables: Tables, run_id: UUID, decision: Decision, proposed: State, now: datetime) -> None:
    """Remember why a proposal wrote nothing, so that `why` can tell."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {tables.runs} SET refusal = %s WHERE id = %s",
            [refusal_text(decision, proposed, now), spelling().uuid(run_id)],
        )


def refusal_text(decision: Decision, proposed: State, now: datetime) -> str:
    return json_text(
        {
            "at": now,
            "verdict": verdict_name(decision),
            "proposed": {"type": proposed.type.value, "name": proposed.name},
            "reason": decision.verdict.reason,
            "seconds": decision.verdict.seconds if isinstance(decision.verdict, Wait) else None,
            "trail": [[line.rule, line.verdict, line.reason] for line in decision.trail],
        }
    )


def verdict_name(decision: Decision) -> str:
    return "ACCEPT" if isinstance(decision.verdict, Accept) else type(decision.verdict).__name__.upper()
