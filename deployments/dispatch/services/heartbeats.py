"""Heartbeats: renew the leases of the runs that an agent names, and return an order for each.

A lease of a run that the agent does not name is not renewed: the agent did not receive the claim, so the lease expires.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from deployments.dispatch.services.agents import OWNER, not_after, of_account, offline_from, present_agent
from deployments.dispatch.services.claims import lease_end
from deployments.models import Lease, Worker
from orchestration.core.states import StateType
from orchestration.tables import dialect, fetch
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.agents import Order
from runs.models import FlowRun


@dataclass(frozen=True, slots=True)
class _Standing:
    """The columns of a run and its lease that determine the order."""

    epoch: int
    leased: int | None
    state: StateType | None
    since: datetime | None


def record_heartbeat(
    *,
    agent_id: UUID,
    incarnation: UUID,
    runs: Mapping[UUID, int],
    draining: bool,
    now: datetime,
    account: int = OWNER,
) -> dict[UUID, Order]:
    """Renew the leases of these runs, given with their attempts, and return an order for each.

    Raises AgentNotFound, AgentReplaced and AgentOfAnother.
    """
    _renew(agent_id, incarnation, runs, draining, account, now)
    standings = _standings(list(runs))
    return {run_id: order_for(standings.get(run_id), epoch, now) for run_id, epoch in runs.items()}


def orders_now(
    *, agent_id: UUID, incarnation: UUID, runs: Mapping[UUID, int], now: datetime, account: int = OWNER
) -> dict[UUID, Order]:
    """Return the orders to cancel and the lost runs, without renewing anything.

    Raises AgentNotFound, AgentReplaced and AgentOfAnother.
    """
    present_agent(agent_id, incarnation, account)
    standings = _standings(list(runs))
    orders = {run_id: order_for(standings.get(run_id), epoch, now) for run_id, epoch in runs.items()}
    return {run_id: order for run_id, order in orders.items() if order in (Order.CANCEL, Order.LOST)}


def cancelling_runs_of(agent_ids: Collection[UUID]) -> set[tuple[UUID, UUID]]:
    """Return pairs of one of these agents and a run of it that is being cancelled.

    For a server at which agents wait: another server may have received the request to cancel.
    """
    cancelled = Lease.objects.filter(worker_id__in=agent_ids, flow_run__state_type=StateType.CANCELLING)
    return {(agent, run) for agent, run in cancelled.values_list("worker_id", "flow_run_id") if agent is not None}


# By agent and run: the epoch of a lease.
Attempts = Mapping[tuple[UUID, UUID], int]


def attempts_of(agent_ids: Collection[UUID]) -> dict[tuple[UUID, UUID], int]:
    """Return the attempts for which these agents have a lease."""
    rows = Lease.objects.filter(worker_id__in=agent_ids).values_list("worker_id", "flow_run_id", "epoch")
    return {(agent, run): epoch for agent, run, epoch in rows if agent is not None}


def agents_of_lost(attempts: Attempts) -> set[UUID]:
    """Return the agents of those attempts that another one has replaced, or whose runs are gone."""
    if not attempts:
        return set()
    epochs = dict(FlowRun.objects.filter(pk__in={run for _, run in attempts}).values_list("pk", "epoch"))
    return {agent for (agent, run), epoch in attempts.items() if epochs.get(run) != epoch}


@repeated_on_conflict
def _renew(
    agent_id: UUID, incarnation: UUID, runs: Mapping[UUID, int], draining: bool, account: int, now: datetime
) -> None:
    with _one_by_one():
        columns = {"last_heartbeat": now, "offline_at": offline_from(now), "draining": draining}
        # One that was processed late does not replace what a later one has recorded.
        own = Worker.objects.filter(of_account(account), not_after(now), pk=agent_id, incarnation=incarnation)
        if not own.update(**columns):
            # It raises unless this one was only late. Leases come after it, so that a replaced agent renews none.
            present_agent(agent_id, incarnation, account)
        _renew_leases(agent_id, runs, now)


def _one_by_one() -> AbstractContextManager[None]:
    """Commit each statement by itself, where rows are locked: a server that is frozen in between would hold the agent.

    Then the next heartbeats could not renew its leases, whichever server received them.
    """
    return nullcontext() if connection.vendor == "postgresql" else write_transaction()


def _renew_leases(agent_id: UUID, runs: Mapping[UUID, int], now: datetime) -> None:
    if not runs:
        return
    db = dialect()
    pairs = [value for run_id, epoch in runs.items() for value in (db.uuid(run_id), epoch)]
    marks = ", ".join(["(%s, %s)"] * len(runs))
    end = db.moment(lease_end(now))
    with connection.cursor() as cursor:
        # Nor does it shorten what a later one has renewed.
        cursor.execute(
            "UPDATE deployments_lease SET expires_at = %s "
            f"WHERE worker_id = %s AND expires_at < %s AND (flow_run_id, epoch) IN (VALUES {marks})",
            [end, db.uuid(agent_id), end, *pairs],
        )


def _standings(run_ids: list[UUID]) -> dict[UUID, _Standing]:
    db = dialect()
    rows = fetch(
        "SELECT r.id, r.epoch, l.epoch, r.state_type, r.state_timestamp FROM runs_flowrun r "
        "LEFT JOIN deployments_lease l ON l.flow_run_id = r.id WHERE r.id IN ",
        run_ids,
    )
    return {db.read_uuid(row[0]): _standing(*row[1:]) for row in rows}


def _standing(epoch: int, leased: int | None, state: str | None, since: Any) -> _Standing:
    return _Standing(epoch, leased, StateType(state) if state else None, since and dialect().read_moment(since))


def order_for(standing: _Standing | None, epoch: int, now: datetime) -> Order:
    """Return the order for an attempt; LOST if another one has replaced it, or if it ended long ago without a lease."""
    if standing is None or standing.epoch != epoch:
        return Order.LOST
    match standing.state:
        # CANCELLED as well: a state can be forced while the process still works.
        case StateType.CANCELLING | StateType.CANCELLED:
            return Order.CANCEL
        case StateType.PAUSED:
            return Order.PAUSE
    if standing.leased is None and _is_long_over(standing, now):
        return Order.LOST
    return Order.OK


def _is_long_over(standing: _Standing, now: datetime) -> bool:
    """Whether the attempt ended longer ago than a lease lasts. Before that, its process may be about to exit."""
    lease = timedelta(seconds=settings.ORION_LEASE_SECONDS)
    return standing.since is None or standing.since < now - lease
