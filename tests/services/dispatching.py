"""Agents, deployed runs and what they do, for tests of the dispatch: everything through the services."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from deployments.dispatch.services.agents import register_agent
from deployments.dispatch.services.attempt_exit import ProcessExit, report_end
from deployments.dispatch.services.claims import Claim, WorkRequest, claim_for_all
from deployments.dispatch.services.heartbeats import record_heartbeat
from deployments.models import Deployment, Lease, Worker, WorkQueue
from deployments.work.services.work_queues import queue_for
from orchestration.core.states import State, running, scheduled
from orchestration.proposals import Outcome
from orchestration.services import propose_flow_run_state
from orionflow.contract.agents import AgentRegistration, Order
from runs.models import FlowRun
from tests.factories import NOON, make_flow, make_flow_run, make_state


@dataclass
class Agent:
    """One start of an agent, as the services see it, with the time given explicitly."""

    id: UUID
    incarnation: UUID
    name: str

    def claim(self, now: datetime = NOON, limit: int = 1, run: FlowRun | None = None) -> list[Claim]:
        return claims_of(WorkRequest(self.id, self.incarnation, limit, named=run.pk if run else None), now)

    def beat(self, claims: list[Claim], now: datetime, draining: bool = False) -> list[Order]:
        runs = {claim.flow_run_id: claim.epoch for claim in claims}
        orders = record_heartbeat(agent_id=self.id, incarnation=self.incarnation, runs=runs, draining=draining, now=now)
        return list(orders.values())

    def ended(self, claim: Claim, now: datetime, **process: Any) -> State | None:
        return report_end(
            flow_run_id=claim.flow_run_id,
            epoch=claim.epoch,
            process=ProcessExit(**process),
            agent=Worker.objects.get(pk=self.id),
            now=now,
        )


def claims_of(request: WorkRequest, now: datetime) -> list[Claim]:
    """The runs that one agent gets if no other asks at the same time. Raises the error that is its answer."""
    (answer,) = claim_for_all([request], now)
    if isinstance(answer, Exception):
        raise answer
    return answer


def make_queue(name: str = "q", **columns: Any) -> WorkQueue:
    queue = queue_for(pool_name=None, queue_name=name, now=NOON)
    assert queue is not None
    WorkQueue.objects.filter(pk=queue.pk).update(**columns)
    queue.refresh_from_db()
    return queue


def make_agent(name: str = "smith", queues: tuple[str, ...] = ("q",), now: datetime = NOON, **fields: Any) -> Agent:
    incarnation = fields.pop("incarnation", None) or uuid4()
    who = AgentRegistration(name=name, incarnation=incarnation, work_queues=queues, **{"host": "here", **fields})
    row, _ = register_agent(who=who, now=now)
    return Agent(row.pk, incarnation, name)


def make_deployment(queue: WorkQueue | None = None, **columns: Any) -> Deployment:
    columns = {"name": "nightly", "entrypoint": "flows.py:etl", **columns}
    return Deployment.objects.create(flow=columns.pop("flow", None) or make_flow(), work_queue=queue, **columns)


def waiting(queue: WorkQueue, at: datetime = NOON, deployment: Deployment | None = None, **fields: Any) -> FlowRun:
    """A run of a deployment that waits in the queue."""
    deployment = deployment or make_deployment(queue)
    return make_flow_run(
        scheduled(at), flow=deployment.flow, deployment_id=deployment.pk, work_queue_id=queue.pk, now=at, **fields
    )


def start(claim: Claim, now: datetime) -> Outcome:
    return report(claim, running(), now)


def report(claim: Claim, state: State | str, now: datetime) -> Outcome:
    proposed = make_state(state) if isinstance(state, str) else state
    return propose_flow_run_state(run_id=claim.flow_run_id, proposed=proposed, now=now, epoch=claim.epoch)


def epoch_of(run: FlowRun) -> int:
    return FlowRun.objects.values_list("epoch", flat=True).get(pk=run.pk)


def is_leased(run: FlowRun) -> bool:
    return Lease.objects.filter(pk=run.pk).exists()
