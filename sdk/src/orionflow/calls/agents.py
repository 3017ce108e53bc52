"""Calls of agents: taking runs from work queues, and keeping what was taken. See docs/dispatch.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from orionflow.calls import Call, present
from orionflow.wire import Answer


class ServedQueue(Answer):
    """A work queue that the agent serves, and where its hints come in."""

    id: UUID
    name: str
    hint_queue: str


def hint_queue(work_queue_id: UUID | str) -> str:
    """The broker's queue for hints about the runs of a work queue."""
    return f"orion-runs.{work_queue_id}"


class Registration(Answer):
    """The API's answer to an agent that registers."""

    id: UUID
    lease_seconds: float
    heartbeat_seconds: float
    poll_seconds: float
    work_queues: list[ServedQueue] = []


class Claimed(Answer):
    """A run that belongs to the agent now: `epoch` is the attempt it may execute."""

    flow_run: dict[str, Any]
    flow_name: str
    epoch: int
    deployment: dict[str, Any] | None = None


class Order(Answer):
    id: UUID
    order: str


class HeartbeatReply(Answer):
    lease_seconds: float
    orders: list[Order] = []
    # Of an agent that serves its whole pool: those that it serves by now.
    work_queues: list[ServedQueue] = []


class Orders(Answer):
    """The orders for attempts; attempts without one are left out."""

    orders: list[Order] = []


def register_agent(body: Mapping[str, Any]) -> Call[Registration]:
    """Register an agent; the runs that an earlier start of its name held are revoked."""
    return Call("POST", "/agents/", dict(body), read=Registration)


def claim_runs(
    agent_id: UUID, incarnation: UUID, *, limit: int, flow_run_id: UUID | None = None
) -> Call[list[Claimed]]:
    """Take up to `limit` runs that are due, or this one. Repeating it would take others."""
    body = present(incarnation=incarnation, limit=limit, flow_run_id=flow_run_id)
    return Call("POST", f"/agents/{agent_id}/claim", body, read=list[Claimed], idempotent=False)


def send_heartbeat(
    agent_id: UUID, incarnation: UUID, runs: Sequence[tuple[UUID, int]], *, draining: bool
) -> Call[HeartbeatReply]:
    """Renew the leases of these attempts and hear what is wanted of them."""
    body = {
        "incarnation": incarnation,
        "runs": [{"id": run, "epoch": epoch} for run, epoch in runs],
        "draining": draining,
    }
    return Call("POST", f"/agents/{agent_id}/heartbeat", body, read=HeartbeatReply)


def await_orders(
    agent_id: UUID, incarnation: UUID, runs: Sequence[tuple[UUID, int]], *, seconds: float
) -> Call[Orders]:
    """Wait for orders for these attempts; return none after `seconds` at most."""
    body = {"incarnation": incarnation, "runs": [{"id": run, "epoch": epoch} for run, epoch in runs]}
    return Call("POST", f"/agents/{agent_id}/orders", body, params={"seconds": seconds}, read=Orders)


def report_ended(
    agent_id: UUID,
    incarnation: UUID,
    flow_run_id: UUID,
    epoch: int,
    *,
    exit_code: int | None = None,
    signal: int | None = None,
    reason: str | None = None,
    message: str | None = None,
) -> Call[Any]:
    """The process of an attempt is gone without having reported an end."""
    body = present(
        incarnation=incarnation,
        flow_run_id=flow_run_id,
        epoch=epoch,
        exit_code=exit_code,
        signal=signal,
        reason=reason,
        message=message,
    )
    return Call("POST", f"/agents/{agent_id}/ended", body, read=Any)


def leave(agent_id: UUID, incarnation: UUID) -> Call[None]:
    """End an agent; the runs that it still holds are revoked."""
    return Call("POST", f"/agents/{agent_id}/leave", {"incarnation": incarnation})
