"""Calls about limits and their slots: global limits, and limits of concurrent task runs with a tag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from orionflow import contract
from orionflow.calls import Call, Collection, body

if TYPE_CHECKING:
    from orionflow.contract.limits import ConcurrencyLimit, GlobalLimit, Holding, TakenLimit

GLOBAL_LIMITS: Collection[GlobalLimit] = Collection(
    "/v2/concurrency_limits", lambda: contract.limits.GlobalLimit, key="name"
)
TAG_LIMITS: Collection[ConcurrencyLimit] = Collection(
    "/concurrency_limits", lambda: contract.limits.ConcurrencyLimit, key="tag", below="/tag/"
)


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
    """Take slots of every limit named, or of none: the answer is then 423, and says when to ask again."""
    limits = contract.limits
    holder = None
    if request_id is not None:
        holder = body(limits.SlotHolder, id=request_id, flow_run_id=flow_run_id, task_run_id=task_run_id, epoch=epoch)
    sent = body(limits.SlotRequest, names=list(names), slots=slots, mode=mode, holder=holder, seconds=seconds)
    # Slots of a rate limit have no holder by which a repeated request could be recognized.
    return Call(
        "POST",
        f"{GLOBAL_LIMITS.path}/increment",
        sent,
        read=list[limits.TakenLimit],
        idempotent=request_id is not None,
    )


def renew_slots(lease_ids: Sequence[UUID], seconds: float) -> Call[None]:
    """Renew the leases of slots for the given seconds; the answer is a conflict if one of the leases has ended."""
    sent = body(contract.limits.LeaseRenewal, lease_ids=list(lease_ids), seconds=seconds)
    return Call("POST", f"{GLOBAL_LIMITS.path}/renew", sent)


def release_slots(lease_ids: Sequence[UUID]) -> Call[None]:
    """Release slots."""
    sent = body(contract.limits.LeaseRelease, lease_ids=list(lease_ids))
    return Call("POST", f"{GLOBAL_LIMITS.path}/release", sent)


def release_tag_slot(tag: str, task_run_id: UUID | str) -> Call[None]:
    """Free the slot of a tag that one task run holds, without a change to the run."""
    return Call("POST", f"{TAG_LIMITS.one(tag)}/release", body(contract.limits.SlotRelease, task_run_id=task_run_id))


def reset_tag_limit(tag: str) -> Call[None]:
    """Free all slots of a tag, whichever runs hold them."""
    return Call("POST", f"{TAG_LIMITS.one(tag)}/reset")


def read_holders(limited: Collection[Any], key: UUID | str) -> Call[Holding]:
    """Read the runs that hold slots of a limit or of a work queue, and those that wait for a slot."""
    return Call("GET", f"{limited.one(key)}/holders", read=lambda: contract.limits.Holding)
