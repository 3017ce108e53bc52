"""Effects on rows, one function each, in the transaction of the state that asked for them.

What concerns other runs (a parent task, runs to cancel) is not here: it goes through `orchestration.services` again.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from deployments.models import ConcurrencyLimit, Lease, Slot
from orchestration.core.effects import ExpireCaches, ReleaseSlots, RememberResult, TakeSlots
from orchestration.core.results import ShownResult
from orchestration.facts import indexed_key
from orchestration.stored import StoredRun
from runs.models import Artifact, CacheEntry


def take_slots(effect: TakeSlots, stored: StoredRun, now: datetime) -> None:
    limits = ConcurrencyLimit.objects.filter(tag__in=effect.tags).order_by("pk").values_list("pk", flat=True)
    slots = [Slot(limit_id=pk, task_run_id=stored.run.id, taken_at=now, epoch=stored.epoch) for pk in limits]
    # A run that kept its slot over a forced transition does not take a second one.
    Slot.objects.bulk_create(slots, ignore_conflicts=True)


def release_slots(effect: ReleaseSlots, stored: StoredRun) -> None:
    # Only tags have limits, and the tags of a task run never change.
    if stored.run.tags:
        Slot.objects.filter(task_run_id=stored.run.id).delete()


def end_lease(stored: StoredRun) -> None:
    Lease.objects.filter(pk=stored.run.id).delete()


def remember_result(effect: RememberResult, state_id: UUID, now: datetime) -> None:
    columns = {"expires_at": effect.expires_at, "task_run_state_id": state_id, "created": now}
    entry = CacheEntry(cache_key=indexed_key(effect.cache_key), **columns)
    # The newest result wins, in one statement: two runs with one key may finish together.
    CacheEntry.objects.bulk_create(
        [entry], update_conflicts=True, unique_fields=["cache_key"], update_fields=list(columns)
    )


def expire_caches(effect: ExpireCaches, stored: StoredRun) -> None:
    CacheEntry.objects.filter(task_run_state__task_run_id=stored.run.id).delete()


def show_result(result: ShownResult, stored: StoredRun, now: datetime) -> None:
    run = stored.run
    flow_run_id, task_run_id = (run.flow_run_id, run.id) if run.kind == "task-run" else (run.id, None)
    Artifact.objects.create(
        type=result.type,
        description=result.description,
        data=result.data,
        flow_run_id=flow_run_id,
        task_run_id=task_run_id,
        created=now,
    )
