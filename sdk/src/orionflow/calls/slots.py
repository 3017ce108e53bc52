"""Calls about slots of global limits: take them, keep them, give them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from orionflow import contract
from orionflow.calls import Call, body

if TYPE_CHECKING:
    from orionflow.contract.limits import TakenLimit


def take_slots(
    names: Sequence[str],
    *,
    slots: int = 1,
    mode: Literal["concurrency", "rate_limit"] = "concurrency",
    request_id: UUID | None = None,
    flow_run_id: UUID | None = None,
    task_run_id: UUID | None = None,
    epoch: int | None = None,
    seconds: float | None = None,
) -> Call[list[TakenLimit]]:
    """Slots of every limit named, or of none: then the answer is 423, and says when to ask again."""
    limits = contract.limits
    holder = None
    if request_id is not None:
        holder = body(limits.SlotHolder, id=request_id, flow_run_id=flow_run_id, task_run_id=task_run_id, epoch=epoch)
    sent = body(limits.SlotRequest, names=list(names), slots=slots, mode=mode, holder=holder, seconds=seconds)
    # Slots of a rate have no holder by whom a repeated request could be known.
    return Call(
        "POST",
        "/v2/concurrency_limits/increment",
        sent,
        read=list[limits.TakenLimit],
        idempotent=request_id is not None,
    )


def renew_slots(lease_ids: Sequence[UUID], seconds: float) -> Call[None]:
    """Keep slots for so many seconds from now; a conflict when one of the leases is over."""
    sent = body(contract.limits.LeaseRenewal, lease_ids=list(lease_ids), seconds=seconds)
    return Call("POST", "/v2/concurrency_limits/renew", sent)


def release_slots(lease_ids: Sequence[UUID]) -> Call[None]:
    """Give slots back."""
    sent = body(contract.limits.LeaseRelease, lease_ids=list(lease_ids))
    return Call("POST", "/v2/concurrency_limits/release", sent)
