"""Global limits: created and changed by users; their slots are taken and returned by running flows.

Rows are locked in the order of their names: two flows that want (a, b) and (b, a) would otherwise deadlock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from deployments.errors import GlobalLimitExists, GlobalLimitNotFound, NotARate, TooManySlots
from deployments.limits.core import Denied, Usage, as_of, give_back, learn, take
from deployments.limits.selectors.capacity import usage_of
from deployments.limits.services.slot_leases import Taker, count_held, give_leases, given_before, known_taker
from deployments.models import GlobalLimit, GlobalSlot
from orchestration.new_names import refuse_unreadable
from orchestration.transactions import repeated_on_conflict, write_transaction

COUNTED = ["active_slots", "denied_slots", "avg_slot_occupancy_seconds", "counted_at", "updated"]


@dataclass(frozen=True, slots=True)
class SlotsTaken:
    """The limits of the request. If there was no room, `retry_after` is the number of seconds to wait.

    `leases` are the slots of an identified holder, by limit id.
    """

    limits: tuple[GlobalLimit, ...]
    retry_after: float | None = None
    leases: Mapping[UUID, GlobalSlot] = field(default_factory=dict)


@repeated_on_conflict
def create_global_limit(*, columns: Mapping[str, Any], now: datetime) -> GlobalLimit:
    """Create a limit. Raises GlobalLimitExists and UnreadableName."""
    with write_transaction():
        _refuse_taken(columns["name"])
        refuse_unreadable(columns["name"])
        limit = GlobalLimit(**columns, created=now, counted_at=now)
        limit.save(force_insert=True)
        return limit


@repeated_on_conflict
def update_global_limit(*, which: Q, changes: Mapping[str, Any], now: datetime) -> None:
    """Change the one limit that `which` selects. Raises GlobalLimitNotFound, GlobalLimitExists and UnreadableName."""
    with write_transaction():
        # The row by which `take_slots` counts, and which it locks as well.
        limit = GlobalLimit.objects.select_for_update(no_key=True).filter(which).first()
        if limit is None:
            raise GlobalLimitNotFound(name=_named_in(which))
        if changes.get("name", limit.name) != limit.name:
            _refuse_taken(changes["name"])
            refuse_unreadable(changes["name"])
        # Apply the decay up to now at the old rate.
        _count(limit, as_of(usage_of(limit), now), now)
        GlobalLimit.objects.filter(pk=limit.pk).update(**changes)


@repeated_on_conflict
def release_all_slots(*, limit_id: UUID, now: datetime) -> None:
    """Release every slot of a limit: those of identified holders, and those that are only counted."""
    with write_transaction():
        limit = GlobalLimit.objects.select_for_update(no_key=True).filter(pk=limit_id).first()
        if limit is None:
            raise GlobalLimitNotFound(name=str(limit_id))
        usage = as_of(usage_of(limit), now)
        held = GlobalSlot.objects.filter(limit=limit)
        for slots, taken_at in held.values_list("slots", "taken_at"):
            usage = learn(usage, slots, (now - taken_at).total_seconds())
        held.delete()
        _count(limit, replace(usage, taken=0.0, denied=0.0), now)


def delete_global_limit(*, which: Q) -> None:
    with write_transaction():
        deleted, _ = GlobalLimit.objects.filter(which).delete()
        if not deleted:
            raise GlobalLimitNotFound(name=_named_in(which))


@repeated_on_conflict
def take_slots(
    *, names: Sequence[str], slots: int, as_rate: bool, now: datetime, taker: Taker | None = None
) -> SlotsTaken:
    """Take slots of every named limit, or of none. An unknown name gets an inactive limit, which never denies.

    An identified taker gets leases for its slots. Slots that decay return by themselves, and are only counted.
    Raises TooManySlots and NotARate, and for a taker FlowRunNotFound and RunLost.
    """
    with write_transaction():
        if taker is not None:
            taker = known_taker(taker)
        limits = _locked(names) or []
        if missing := set(names) - {limit.name for limit in limits}:
            # Another request may make the same limit now; its row is then locked like any other.
            GlobalLimit.objects.bulk_create(
                [
                    GlobalLimit(name=name, limit=1, active=False, created=now, counted_at=now)
                    for name in sorted(missing)
                ],
                ignore_conflicts=True,
            )
            limits = _locked(names)
        _refuse_impossible([limit for limit in limits if limit.active], slots, as_rate)
        if taker is not None and (given := given_before(taker, limits, now)):
            return SlotsTaken(tuple(limits), leases=given)
        # Counted under the locks: until the commit nobody else takes slots of these limits.
        held = count_held([limit.pk for limit in limits], now)
        leased = {limit.pk for limit in limits if taker and limit.active and not limit.slot_decay_per_second}
        usages = [usage_of(limit, held.get(limit.pk, 0), named=limit.pk in leased) for limit in limits]
        verdict = take(usages, slots, now)
        # Whatever the verdict is, because requests that are denied are counted, too.
        for limit, usage in zip(limits, verdict.usages, strict=True):
            if limit.active:
                _count(limit, usage, now)
        if isinstance(verdict, Denied):
            return SlotsTaken(tuple(limits), verdict.retry_after)
        return SlotsTaken(tuple(limits), leases=give_leases(taker, leased, slots, now) if taker else {})


@repeated_on_conflict
def return_slots(
    *, names: Sequence[str], slots: int, occupancy_seconds: float | None, now: datetime
) -> tuple[GlobalLimit, ...]:
    """Return slots of those limits that still exist."""
    with write_transaction():
        limits = _locked(names)
        for limit in limits:
            if limit.active:
                _count(limit, give_back(usage_of(limit), slots, occupancy_seconds, now), now)
    return tuple(limits)


def teach_occupancy(limit: GlobalLimit, slots: int, seconds: float, now: datetime) -> None:
    """Record how long slots were held, when they are returned. The caller has locked the limit."""
    _count(limit, learn(as_of(usage_of(limit), now), slots, seconds), now)


def _locked(names: Sequence[str]) -> list[GlobalLimit]:
    return list(GlobalLimit.objects.select_for_update(no_key=True).filter(name__in=names).order_by("name"))


def _count(limit: GlobalLimit, usage: Usage, now: datetime) -> None:
    limit.active_slots, limit.denied_slots = usage.taken, usage.denied
    limit.avg_slot_occupancy_seconds, limit.counted_at = usage.average_occupancy, usage.counted_at
    limit.save(update_fields=COUNTED)


def _refuse_impossible(limits: Sequence[GlobalLimit], slots: int, as_rate: bool) -> None:
    for limit in limits:
        if slots > limit.limit:
            raise TooManySlots(slots=slots, name=limit.name, limit=limit.limit)
        if as_rate and not limit.slot_decay_per_second:
            raise NotARate(name=limit.name)


def _refuse_taken(name: str) -> None:
    if GlobalLimit.objects.filter(name=name).exists():
        raise GlobalLimitExists(name=name)


def _named_in(which: Q) -> str:
    return str(next(value for _, value in which.children))  # type: ignore[misc]
