"""Leased slots: renewed while they are in use, and released. Expired ones are deleted.

A slot counts until its lease expires or the attempt that took it ends, whichever comes first. Both are checked whenever
slots are counted, so a process that dies releases its slots without anything noticing its death.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet

from deployments.errors import SlotLost
from deployments.limits.selectors.capacity import is_held
from deployments.limits.services.global_limits import teach_occupancy
from deployments.models import GlobalLimit, GlobalSlot
from orchestration.transactions import repeated_on_conflict, write_transaction

SWEPT_AT_ONCE = 1000


@repeated_on_conflict
def renew_leases(*, ids: Sequence[UUID], lease: timedelta, now: datetime) -> None:
    """Renew the leases for this long: all of them, or none if one is over. Raises SlotLost."""
    with write_transaction():
        # Lock the limits, so that no taker finds a slot free while it is being renewed.
        _, slots = _locked_with_limits(ids)
        held = set(slots.filter(is_held(now)).values_list("pk", flat=True))
        for one in ids:
            if one not in held:
                raise SlotLost(id=one)
        GlobalSlot.objects.filter(pk__in=held).update(expires_at=now + lease)


@repeated_on_conflict
def release_leases(*, ids: Sequence[UUID], now: datetime) -> list[GlobalLimit]:
    """Release slots, ignoring leases that are over. Return the limits of the slots."""
    with write_transaction():
        limits, slots = _locked_with_limits(ids)
        for slot in slots:
            teach_occupancy(limits[slot.limit_id], slot.slots, (now - slot.taken_at).total_seconds(), now)
        slots.delete()
        return list(limits.values())


def sweep_leases(now: datetime) -> int:
    """Delete slots that no longer count. Nothing depends on when this is done."""
    held = GlobalSlot.objects.filter(is_held(now)).values("pk")
    over = GlobalSlot.objects.exclude(pk__in=held)
    ids = list(over.order_by("expires_at").values_list("pk", flat=True)[:SWEPT_AT_ONCE])
    return _forget(ids, now) if ids else 0


@repeated_on_conflict
def _forget(ids: Sequence[UUID], now: datetime) -> int:
    with write_transaction():
        _, slots = _locked_with_limits(ids)
        # Check again under the lock: a repeated request gets its slot back under the same id.
        held = set(slots.filter(is_held(now)).values_list("pk", flat=True))
        deleted, _ = slots.exclude(pk__in=held).delete()
        return deleted


def _locked_with_limits(ids: Collection[UUID]) -> tuple[dict[UUID, GlobalLimit], QuerySet[GlobalSlot]]:
    """Lock the limits of these slots. Return them, and the slots of those limits only.

    A slot that did not exist when its limit was looked up may be created again at any time: it must not be touched
    without the lock.
    """
    slots = GlobalSlot.objects.filter(pk__in=ids)
    wanted = set(slots.values_list("limit_id", flat=True))
    limits = GlobalLimit.objects.select_for_update(no_key=True).filter(pk__in=wanted).order_by("name")
    locked = {limit.pk: limit for limit in limits}
    return locked, slots.filter(limit_id__in=locked)
