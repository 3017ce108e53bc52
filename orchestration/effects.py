"""Effects as SQL.

A unit of work collects the effects of its decisions here, where its later proposals already see them (`facts`). It
writes each kind with one statement, in the transaction of the states that caused them. Effects on other runs (a parent
task run, runs to cancel) are proposals of their own, and not here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Q

from deployments.models import Lease, Slot
from orchestration.core.effects import Effect, EndLease, ExpireCaches, ReleaseSlots, RememberResult, TakeSlots
from orchestration.core.results import ShownResult
from orchestration.core.runs import Run
from orchestration.core.states import State
from orchestration.tables import Row, dialect, insert_rows
from runs.models import Artifact, CacheEntry

# The newest result wins. One statement, because two runs with the same key may finish at the same time.
_REMEMBER = (
    "INSERT INTO runs_cacheentry (cache_key, expires_at, task_run_state_id, created) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (cache_key) DO UPDATE SET expires_at = excluded.expires_at, "
    "task_run_state_id = excluded.task_run_state_id, created = excluded.created"
)


_OCCURRENCE = (
    "id",
    "problem_id",
    "run_id",
    "flow_id",
    "deployment_id",
    "seen_at",
    "is_pending",
    "is_nested",
    "is_consequence",
)


class Effects:
    """Effects that are decided but not yet written."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        # By tag: the runs that take a slot, each with its attempt.
        self.taken: dict[str, dict[UUID, int]] = {}
        self.released: set[UUID] = set()
        self._ended: set[UUID] = set()
        self.remembered: dict[str, tuple[RememberResult, State]] = {}
        # Cached results to delete: by the run that left them, or by key for results of this unit that are not written
        # yet.
        self.expired: set[UUID] = set()
        self.forgotten: set[str] = set()
        self._shown: list[tuple[ShownResult, Run]] = []
        self._failures: list[Row] = []

    def add(self, effect: Effect, run: Run, state: State, epoch: int) -> None:
        """Collect an effect of `state`, which the run has just entered."""
        match effect:
            case TakeSlots():
                for tag in effect.tags:
                    self.taken.setdefault(tag, {})[run.id] = epoch
            case ReleaseSlots():
                self.released.add(run.id)
                for holders in self.taken.values():
                    holders.pop(run.id, None)
            case EndLease():
                self._ended.add(run.id)
            case RememberResult():
                self.remembered[effect.cache_key] = (effect, state)
            case ExpireCaches():
                self.expired.add(run.id)
                left = [key for key, (_, at) in self.remembered.items() if at.details.task_run_id == run.id]
                for key in left:
                    del self.remembered[key]
                self.forgotten.update(left)
            case _:
                raise AssertionError(f"{effect} is a proposal for another run")

    def show(self, result: ShownResult, run: Run) -> None:
        self._shown.append((result, run))

    def note_failure(self, run: Run, flow_id: UUID, state: State) -> None:
        """Record the problem by which a flow run failed. A service counts these rows later, so that failures do not
        wait for each other."""
        assert state.id is not None
        assert state.timestamp is not None
        try:
            # Imported here because only failures need it.
            from orionflow.contract.fingerprints import cause_of_state
        except (OSError, ImportError):
            # The program may have failed because it cannot open more files; its state matters more than the problem.
            return
        cause = cause_of_state(state.details.cause, state.name, state.message, scope=flow_id.hex)
        db, problem = dialect(), UUID(cause.fingerprint)
        ids = [state.id, problem, run.id, flow_id, run.deployment_id, state.timestamp]
        self._failures.append((*db.write(ids), True, run.parent_task_run_id is not None, False))

    def write(self, limit_ids: Mapping[str, UUID], may_hold: set[UUID], now: datetime) -> None:
        """Write everything. `limit_ids` are by tag; only runs in `may_hold` can have slots to release."""
        self._write_slots(limit_ids, may_hold, now)
        if self._ended:
            Lease.objects.filter(pk__in=self._ended).delete()
        self._write_cache(now)
        if self._shown:
            Artifact.objects.bulk_create([_artifact(result, run, now) for result, run in self._shown])
        insert_rows("runs_occurrence", _OCCURRENCE, self._failures)
        self.clear()

    def _write_slots(self, limit_ids: Mapping[str, UUID], may_hold: set[UUID], now: datetime) -> None:
        # First, because a run may have released its slots and taken them again in this unit.
        if released := self.released & may_hold:
            Slot.objects.filter(task_run_id__in=released).delete()
        slots = [
            Slot(limit_id=limit_ids[tag], task_run_id=run_id, taken_at=now, epoch=epoch)
            for tag, holders in self.taken.items()
            for run_id, epoch in holders.items()
        ]
        if slots:
            # A run that kept its slot during a forced transition does not take a second one.
            Slot.objects.bulk_create(slots, ignore_conflicts=True)

    def _write_cache(self, now: datetime) -> None:
        if self.expired:
            left = Q(task_run_state__task_run__in=self.expired)
            if self.forgotten:
                left |= Q(cache_key__in=[indexed_key(key) for key in self.forgotten])
            CacheEntry.objects.filter(left).delete()
        if not self.remembered:
            return
        # Sort by key: two units that remember the same results must not wait for each other.
        entries = [
            dialect().write([indexed_key(key), effect.expires_at, state.id, now])
            for key, (effect, state) in sorted(self.remembered.items())
        ]
        with connection.cursor() as cursor:
            cursor.executemany(_REMEMBER, entries)


def indexed_key(cache_key: str) -> str:
    """Return the key as it is stored. Long ones are hashed, because PostgreSQL indexes at most 2,700 bytes."""
    if len(cache_key) <= 255:
        return cache_key
    return f"sha256:{hashlib.sha256(cache_key.encode()).hexdigest()}"


def _artifact(result: ShownResult, run: Run, now: datetime) -> Artifact:
    flow_run_id, task_run_id = (run.flow_run_id, run.id) if run.kind == "task-run" else (run.id, None)
    return Artifact(
        type=result.type,
        description=result.description,
        data=result.data,
        flow_run_id=flow_run_id,
        task_run_id=task_run_id,
        created=now,
    )
