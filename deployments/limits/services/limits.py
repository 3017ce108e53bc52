"""Limits on tags: set by tag, reset by hand, and deleted. A lower limit does not stop running tasks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from deployments.errors import ConcurrencyLimitNotFound, SlotNotFound
from deployments.models import ConcurrencyLimit, Slot
from orchestration.acts import current_act, note
from orchestration.new_names import refuse_control_in_tag
from orchestration.transactions import repeated_on_conflict, write_transaction


@repeated_on_conflict
def set_limit(*, tag: str, slots: int, now: datetime) -> tuple[ConcurrencyLimit, bool]:
    """Create or change the limit on `tag`. Return it, and whether it is new."""
    with write_transaction():
        refuse_control_in_tag(tag, unless=ConcurrencyLimit.objects.filter(tag=tag))
        return ConcurrencyLimit.objects.update_or_create(
            tag=tag,
            defaults={"concurrency_limit": slots, "updated": now},
            create_defaults={"concurrency_limit": slots, "created": now},
        )


@repeated_on_conflict
def reset_limit(*, tag: str, held_by: Sequence[UUID] = (), now: datetime) -> None:
    """Release every slot of the limit, and give slots to the task runs in `held_by`.

    Task runs that this server does not know hold their slots until the next reset. Raises ConcurrencyLimitNotFound.
    """
    with write_transaction():
        limit = ConcurrencyLimit.objects.select_for_update(no_key=True).filter(tag=tag).first()
        if limit is None:
            raise ConcurrencyLimitNotFound(tag=tag)
        # Read only for the audit log.
        held = list(Slot.objects.filter(limit=limit).values_list("task_run_id", flat=True)) if current_act.get() else []
        note("tag-limit", limit.pk, name=tag, before={"held_by": held}, after={"held_by": list(held_by)})
        Slot.objects.filter(limit=limit).delete()
        Slot.objects.bulk_create([Slot(limit=limit, task_run_id=pk, taken_at=now) for pk in dict.fromkeys(held_by)])


def release_slot(*, tag: str, task_run_id: UUID) -> None:
    """Release one task run's slot. The task continues, without the protection of the limit.

    Raises ConcurrencyLimitNotFound, and SlotNotFound if the task run holds none.
    """
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
