"""Calls of agents: claiming runs from work queues, and keeping their leases. See docs/explanation/dispatch.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow import contract
from orionflow.calls import Call, body

if TYPE_CHECKING:
    from orionflow.contract.agents import ClaimedRun, HeartbeatReply, Orders, RegisteredAgent

# A run of the agent, and the number of the attempt that it executes.
Attempts = Sequence[tuple[UUID, int]]


def register_agent(**who: Any) -> Call[RegisteredAgent]:
    """Register an agent; the runs that an earlier start of its name held are revoked."""
    sent = body(contract.agents.AgentRegistration, **who)
    return Call("POST", "/agents/", sent, read=contract.agents.RegisteredAgent)


def claim_runs(
    agent_id: UUID, incarnation: UUID, *, limit: int, flow_run_id: UUID | None = None
) -> Call[list[ClaimedRun]]:
    """Claim up to `limit` due runs, or this one run. Repeating the call would claim others."""
    sent = body(contract.agents.ClaimRequest, incarnation=incarnation, limit=limit, flow_run_id=flow_run_id)
    read = list[contract.agents.ClaimedRun]
    return Call("POST", f"/agents/{agent_id}/claim", sent, read=read, idempotent=False)


def send_heartbeat(agent_id: UUID, incarnation: UUID, runs: Attempts, *, draining: bool) -> Call[HeartbeatReply]:
    """Renew the leases of these attempts and read the orders for them."""
    sent = body(contract.agents.Heartbeat, incarnation=incarnation, runs=_held(runs), draining=draining)
    return Call("POST", f"/agents/{agent_id}/heartbeat", sent, read=contract.agents.HeartbeatReply)


def await_orders(agent_id: UUID, incarnation: UUID, runs: Attempts, *, seconds: float) -> Call[Orders]:
    """Wait for orders for these attempts; return none after `seconds` at most."""
    sent = body(contract.agents.OrdersRequest, incarnation=incarnation, runs=_held(runs))
    params = {"seconds": seconds}
    return Call("POST", f"/agents/{agent_id}/orders", sent, params=params, read=contract.agents.Orders)


def _held(runs: Attempts) -> list[dict[str, Any]]:
    return [body(contract.agents.HeldRun, id=run, epoch=epoch) for run, epoch in runs]


def report_ended(agent_id: UUID, incarnation: UUID, flow_run_id: UUID, epoch: int, **how: Any) -> Call[Any]:
    """Report that the process of an attempt ended without reporting its end; `how` contains fields of an exit."""
    sent = body(contract.agents.AttemptExit, incarnation=incarnation, flow_run_id=flow_run_id, epoch=epoch, **how)
    return Call("POST", f"/agents/{agent_id}/ended", sent, read=Any)


def leave(agent_id: UUID, incarnation: UUID) -> Call[None]:
    """End an agent; the runs that it still holds are revoked."""
    return Call("POST", f"/agents/{agent_id}/leave", body(contract.agents.AgentLeave, incarnation=incarnation))
