"""Claiming: a due run becomes this agent's, or somebody else's, never both.

Each run is claimed in a transaction of its own: PENDING by the rules, a new epoch, and the lease. Which runs to try is
only advice; everything that matters is asked again under the run's lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection

from deployments.dispatch.selectors.due import due_ids, for_agents
from deployments.dispatch.services.agents import OWNER, present_agent, queues_of_pool
from deployments.limits.selectors.capacity import chosen_by
from deployments.models import Lease, Worker, WorkQueue
from orchestration.core.states import State, StateType
from orchestration.errors import AgentReplaced
from orchestration.measured import claim_delay
from orchestration.services import propose
from orchestration.stored import StoredRun, read_runs
from orchestration.tables import FLOW_RUNS
from orchestration.transactions import repeated_on_conflict, write_transaction
from orchestration.unit import Proposal
from runs.models import FlowRun

# Agents that ask at the same time are given the same advice; with a few more runs in it each finds some.
SPARE = 10
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that belongs to the agent now, and the attempt it may execute."""

    flow_run_id: UUID
    epoch: int


def claim_next(*, agent_id: UUID, incarnation: UUID, limit: int, now: datetime, account: int = OWNER) -> list[Claim]:
    """The most urgent runs of the agent's queues, up to `limit`.

    Raises AgentNotFound, AgentReplaced and AgentOfAnother.
    """
    agent = present_agent(agent_id, incarnation, account)
    if agent.draining or limit <= 0:
        return []
    queues = _queue_ids(agent)
    claims: list[Claim] = []
    tried: set[UUID] = set()
    for _ in range(ROUNDS):
        left = limit - len(claims)
        advised = due_ids(queues=queues, before=now, limit=left + SPARE, among=for_agents())
        new = [run_id for run_id in advised if run_id not in tried]
        for run_id in new:
            if len(claims) == limit:
                break
            tried.add(run_id)
            if claim := _claim(run_id, agent, now):
                claims.append(claim)
        # Only where others were faster is there a reason to look again.
        if len(claims) == limit or len(new) <= left:
            break
    return claims


def claim_one(
    *, agent_id: UUID, incarnation: UUID, flow_run_id: UUID, now: datetime, account: int = OWNER
) -> list[Claim]:
    """This run, if it is due in one of the agent's queues. Raises AgentNotFound, AgentReplaced and AgentOfAnother."""
    agent = present_agent(agent_id, incarnation, account)
    if agent.draining or not _is_in(_queue_ids(agent), flow_run_id):
        return []
    claim = _claim(flow_run_id, agent, now)
    return [claim] if claim else []


def _queue_ids(agent: Worker) -> list[UUID]:
    if not agent.serves_pool:
        return [UUID(one) for one in agent.queue_ids]
    ids = [queue.pk for queue in queues_of_pool(agent.work_pool_id)]
    if {str(one) for one in ids} != set(agent.queue_ids):
        Worker.objects.filter(pk=agent.pk).update(queue_ids=[str(one) for one in ids])
    return ids


def _is_in(queue_ids: Sequence[UUID], run_id: UUID) -> bool:
    run = FlowRun.objects.filter(for_agents(), pk=run_id)
    if run.filter(work_queue_id__in=queue_ids).exists():
        return True
    filtering = WorkQueue.objects.filter(pk__in=queue_ids, filter__isnull=False)
    return any(run.filter(chosen_by(queue)).exists() for queue in filtering)


@repeated_on_conflict
def _claim(run_id: UUID, agent: Worker, now: datetime) -> Claim | None:
    with write_transaction():
        stored = _lock_if_free(run_id)
        if stored is None or not _is_due(stored, now):
            return None
        pending = State(type=StateType.PENDING, message=f"Taken by agent {agent.name!r}.")
        proposal = Proposal(pending, now, author=f"agent {agent.name}"[:255], new_attempt=True)
        outcome = propose(FLOW_RUNS, run_id, proposal)
        if not outcome.written or outcome.state is None or outcome.state.type is not StateType.PENDING:
            return None
        claim = Claim(run_id, stored.epoch + 1)
        _grant(claim, agent, now)
        if stored.run.next_scheduled_start_time is not None:
            claim_delay.observe((now - stored.run.next_scheduled_start_time).total_seconds())
        return claim


def _lock_if_free(run_id: UUID) -> StoredRun | None:
    """Lock the run and read it; None if another transaction holds it, which most likely is another claim."""
    if connection.vendor == "postgresql":
        free = FlowRun.objects.select_for_update(no_key=True, skip_locked=True).filter(pk=run_id)
        if not free.values_list("pk"):
            return None
    return read_runs(FLOW_RUNS, [run_id]).get(run_id)


def _is_due(stored: StoredRun, now: datetime) -> bool:
    state, due = stored.state, stored.run.next_scheduled_start_time
    if state is None or state.type is not StateType.SCHEDULED:
        return False
    if stored.run.leased or stored.run.policy.retry_type == "in_process":
        return False
    return due is None or due <= now


def _grant(claim: Claim, agent: Worker, now: datetime) -> None:
    _lock_agent(agent)
    lease = Lease(
        flow_run_id=claim.flow_run_id,
        worker=agent,
        incarnation=agent.incarnation,
        epoch=claim.epoch,
        granted_at=now,
        expires_at=lease_end(now),
    )
    lease.save(force_insert=True)
    # A process that is named on the run belongs to an earlier attempt.
    FlowRun.objects.filter(pk=claim.flow_run_id, infrastructure_pid__isnull=False).update(infrastructure_pid=None)


def _lock_agent(agent: Worker) -> None:
    """Lock the agent until the lease is stored, so that whoever deregisters this start of it finds all its leases."""
    same = Worker.objects.select_for_update(no_key=True).filter(pk=agent.pk, incarnation=agent.incarnation)
    if not same.values_list("pk"):
        raise AgentReplaced(name=agent.name)


def lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.ORION_LEASE_SECONDS)
