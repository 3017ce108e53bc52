"""Limits on tags: made or changed by tag, freed by hand, deleted. Lowering one evicts nobody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from deployments.models import ConcurrencyLimit, Slot
from orchestration.acts import current_act, note
from orchestration.errors import ConcurrencyLimitNotFound, SlotNotFound
from orchestration.transactions import repeated_on_conflict, write_transaction


@repeated_on_conflict
def set_limit(*, tag: str, slots: int, now: datetime) -> tuple[ConcurrencyLimit, bool]:
    """The limit on `tag`, and whether it is new."""
    with write_transaction():
        return ConcurrencyLimit.objects.update_or_create(
            tag=tag,
            defaults={"concurrency_limit": slots, "updated": now},
            create_defaults={"concurrency_limit": slots, "created": now},
        )


@repeated_on_conflict
def reset_limit(*, tag: str, held_by: Sequence[UUID] = (), now: datetime) -> None:
    """Free every slot of the limit, and give them to the task runs named in `held_by`, also where these are not known
    here: such slots are held until the next reset."""
    with write_transaction():
        limit = ConcurrencyLimit.objects.select_for_update(no_key=True).filter(tag=tag).first()
        if limit is None:
            raise ConcurrencyLimitNotFound(tag=tag)
        held = list(Slot.objects.filter(limit=limit).values_list("task_run_id", flat=True)) if current_act.get() else []
        note("tag-limit", limit.pk, name=tag, before={"held_by": held}, after={"held_by": list(held_by)})
        Slot.objects.filter(limit=limit).delete()
        Slot.objects.bulk_create([Slot(limit=limit, task_run_id=pk, taken_at=now) for pk in dict.fromkeys(held_by)])


def release_slot(*, tag: str, task_run_id: UUID) -> None:
    """Take one task run's slot away. The task goes on; what the limit protects is no longer protected from it."""
    with write_transaction():
        limit = ConcurrencyLimit.objects.filter(tag=tag).first()
        if limit is None:
            raise ConcurrencyLimitNotFound(tag=tag)
        deleted, _ = Slot.objects.filter(limit__tag=tag, task_run=task_run_id).delete()
        if not deleted:
            raise SlotNotFound(tag=tag, task_run_id=task_run_id)
        note("tag-limit", limit.pk, name=tag, before={"held_by": [task_run_id]}, after={"held_by": []})


def delete_limit(*, tag: str) -> None:
    with write_transaction():
        deleted, _ = ConcurrencyLimit.objects.filter(tag=tag).delete()
        if not deleted:
            raise ConcurrencyLimitNotFound(tag=tag)


def delete_limit_by_id(*, limit_id: UUID) -> None:
    with write_transaction():
        deleted, _ = ConcurrencyLimit.objects.filter(pk=limit_id).delete()
        if not deleted:
            raise ConcurrencyLimitNotFound(tag=limit_id)
