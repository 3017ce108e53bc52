"""Leases of slots for identified takers, granted under the lock of the limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from django.db.models import Q

from deployments.limits.selectors.capacity import is_held
from deployments.models import GlobalLimit, GlobalSlot
from orchestration.errors import FlowRunNotFound, RunLost
from orionflow.contract.ids import uuid7
from runs.models import FlowRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Taker:
    """An identified taker of slots, and the duration of its lease. A request with an `id` may be repeated."""

    lease: timedelta
    id: UUID | None = None
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
    epoch: int | None = None


def known_taker(taker: Taker) -> Taker:
    """Return the taker with the current attempt of its run. Raises RunLost for an earlier attempt."""
    if taker.flow_run_id is None:
        return replace(taker, epoch=0)
    current = FlowRun.objects.filter(pk=taker.flow_run_id).values_list("epoch", flat=True).first()
    if current is None:
        raise FlowRunNotFound(id=taker.flow_run_id)
    if taker.epoch is not None and taker.epoch != current:
        raise RunLost(id=taker.flow_run_id, epoch=taker.epoch, current=current)
    # Not locked: if another attempt begins now, slots of this one do not count any more (`is_held`).
    return replace(taker, epoch=current)


def count_held(limit_ids: Collection[UUID], now: datetime) -> dict[UUID, int]:
    """Count the slots that are held, by limit. Expired ones are deleted now, so that they cannot be renewed later."""
    rows = GlobalSlot.objects.filter(limit__in=limit_ids).annotate(held=Q(is_held(now)))
    held, over = Counter[UUID](), []
    for pk, limit_id, slots, counts in rows.values_list("pk", "limit_id", "slots", "held"):
        if counts:
            held[limit_id] += slots
        else:
            over.append(pk)
    if over:
        GlobalSlot.objects.filter(pk__in=over).delete()
    return held


def given_before(taker: Taker, limits: Sequence[GlobalLimit], now: datetime) -> dict[UUID, GlobalSlot]:
    """Return the slots that this request was granted when it came for the first time."""
    if taker.id is None:
        return {}
    ids = [lease_id(taker.id, limit.pk) for limit in limits]
    return {slot.limit_id: slot for slot in GlobalSlot.objects.filter(is_held(now), pk__in=ids)}


def give_leases(taker: Taker, limit_ids: Collection[UUID], slots: int, now: datetime) -> dict[UUID, GlobalSlot]:
    """Grant leases. The caller has locked the limits, and knows that there is room."""
    leases = [
        GlobalSlot(
            id=lease_id(taker.id or uuid7(), limit_id),
            limit_id=limit_id,
            slots=slots,
            flow_run_id=taker.flow_run_id,
            task_run_id=taker.task_run_id,
            epoch=taker.epoch or 0,
            taken_at=now,
            expires_at=now + taker.lease,
        )
        for limit_id in sorted(limit_ids)
    ]
    # Delete slots that the same request was granted earlier and has lost since; they have the same ids.
    GlobalSlot.objects.filter(pk__in=[lease.pk for lease in leases]).delete()
    GlobalSlot.objects.bulk_create(leases)
    return {lease.limit_id: lease for lease in leases}


def lease_id(request_id: UUID, limit_id: UUID) -> UUID:
    # The same id for each repeat of a request: what it was granted is found again.
    return uuid5(request_id, limit_id.hex)
