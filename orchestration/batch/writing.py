"""Storing what came of a batch: each table is written once, rows that the batch made with their final columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection

from deployments.models import Slot
from orchestration.batch.facts import BatchFacts
from orchestration.batch.loading import MovingRun
from orchestration.columns import Spelling, json_text, policy_text, spelling
from orchestration.facts import indexed_key
from orchestration.record import STATE_COLUMNS, insert_rows
from orchestration.stored import TASK_RUNS
from runs.models import CacheEntry

_STATE_COLUMNS = (*STATE_COLUMNS, TASK_RUNS.run_column)
# What transitions change; in the same order in `_moved` and in both statements.
_MOVING = (
    "seq",
    "state_id",
    "state_type",
    "state_name",
    "state_timestamp",
    "run_count",
    "flow_run_run_count",
    "start_time",
    "end_time",
    "expected_start_time",
    "next_scheduled_start_time",
    "total_run_time",
    "empirical_policy",
    "refusal",
    "updated",
)
_FIXED = (
    "id",
    "created",
    "name",
    "tags",
    "flow_run_id",
    "task_key",
    "dynamic_key",
    "cache_key",
    "cache_expiration",
    "task_version",
    "task_inputs",
)
_UPDATE = f"UPDATE runs_taskrun SET {', '.join(f'{name} = %s' for name in _MOVING)} WHERE id = %s AND seq = %s"

_REMEMBER = (
    "INSERT INTO runs_cacheentry (cache_key, expires_at, task_run_state_id, created) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (cache_key) DO UPDATE SET expires_at = excluded.expires_at, "
    "task_run_state_id = excluded.task_run_state_id, created = excluded.created"
)


def write(
    runs: Mapping[UUID, MovingRun], state_rows: Sequence[Sequence[Any]], facts: BatchFacts, now: datetime
) -> None:
    spell = spelling()
    at = spell.moment(now)
    touched = [moving for moving in runs.values() if moving.touched]
    made = [(*_fixed(moving, spell, at), *_moved(moving, spell, at)) for moving in touched if moving.new]
    insert_rows("runs_taskrun", (*_FIXED, *_MOVING), made)
    insert_rows(TASK_RUNS.states, _STATE_COLUMNS, state_rows)
    _update([moving for moving in touched if not moving.new], spell, at)
    _write_slots(facts, runs, spell, at)
    _write_cache(facts, spell, at)


def _fixed(moving: MovingRun, spell: Spelling, created: Any) -> tuple[Any, ...]:
    new = moving.new
    assert new is not None
    return (
        spell.uuid(moving.run.id),
        created,
        new.name,
        json_text(new.tags) if new.tags else "[]",
        spell.uuid(new.flow_run_id) if new.flow_run_id else None,
        new.task_key,
        new.dynamic_key,
        new.cache_key,
        spell.moment(new.cache_expiration) if new.cache_expiration else None,
        new.task_version,
        json_text(new.task_inputs) if new.task_inputs else "{}",
    )


def _moved(moving: MovingRun, spell: Spelling, updated: Any) -> tuple[Any, ...]:
    run, state, before = moving.run, moving.state, moving.stored
    moment = spell.moment
    policy = before.policy
    if run.policy is not before.run.policy and run.policy != before.run.policy:
        policy = policy_text(policy, before.run.policy, run.policy)
    return (
        moving.seq,
        spell.uuid(state.id) if state and state.id else None,
        state.type.value if state else None,
        state.name if state else None,
        moment(state.timestamp) if state and state.timestamp else None,
        run.run_count,
        run.flow_run_run_count,
        moment(run.start_time) if run.start_time else None,
        moment(run.end_time) if run.end_time else None,
        moment(run.expected_start_time) if run.expected_start_time else None,
        moment(run.next_scheduled_start_time) if run.next_scheduled_start_time else None,
        spell.period(run.total_run_time),
        policy,
        moving.refusal,
        updated,
    )


def _update(runs: Sequence[MovingRun], spell: Spelling, updated: Any) -> None:
    if not runs:
        return
    rows = [(*_moved(m, spell, updated), spell.uuid(m.stored.run.id), m.stored.seq) for m in runs]
    with connection.cursor() as cursor:
        cursor.executemany(_UPDATE, rows)
        if cursor.rowcount != len(rows):
            raise OperationalError("a task run was moved by somebody else while it was locked")


def _write_slots(facts: BatchFacts, runs: Mapping[UUID, MovingRun], spell: Spelling, now: Any) -> None:
    if released := facts.slots_to_release():
        Slot.objects.filter(
            limit__in={facts.limits[tag].pk for tag, _ in released}, task_run__in={run_id for _, run_id in released}
        ).delete()
    taken = [
        (spell.uuid(facts.limits[tag].pk), spell.uuid(run_id), now, runs[run_id].stored.epoch)
        for tag, run_id in facts.slots_to_take()
    ]
    insert_rows("deployments_slot", ("limit_id", "task_run_id", "taken_at", "epoch"), taken)


def _write_cache(facts: BatchFacts, spell: Spelling, now: Any) -> None:
    if facts.expired:
        CacheEntry.objects.filter(task_run_state__task_run__in=facts.expired).delete()
    # In the order of their keys: two batches that remember the same results must not wait for each other.
    entries = [
        (indexed_key(key), effect.expires_at and spell.moment(effect.expires_at), spell.uuid(state.id), now)
        for key, (effect, state) in sorted(facts.remembered.items())
        if state.id
    ]
    if entries:
        with connection.cursor() as cursor:
            cursor.executemany(_REMEMBER, entries)
