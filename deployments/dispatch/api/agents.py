"""The calls of agents: register, claim, heartbeat, report an end, leave. docs/dispatch.md is their protocol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.conf import settings
from pydantic import Field
from rest_framework.response import Response
from typing_extensions import TypedDict

from deployments.dispatch.hint_sender import hint_queue
from deployments.dispatch.services.agents import (
    AgentRegistration,
    leave,
    present_agent,
    queues_of_pool_agent,
    register_agent,
)
from deployments.dispatch.services.attempt_exit import ProcessExit, report_end
from deployments.dispatch.services.claims import Claim, claim_next, claim_one
from deployments.dispatch.services.heartbeats import Order, orders_now, record_heartbeat
from deployments.dispatch.waiting_agents import WAIT_HEADER
from deployments.models import Deployment, WorkQueue
from orchestration.api.operations import Operation
from orchestration.api.states import state_out
from orchestration.database_clock import database_now
from orion_site.accounts.permissions import Action
from orionflow.contract.runs import StateOut
from orionflow.contract.wire import Int, Name, Natural, Text255, Wire
from runs.flow_runs.api.flow_runs import flow_runs_out
from runs.flow_runs.schemas import FlowRunOut
from runs.models import FlowRun

MOST_RUNS = 1000
LONGEST_WAIT_SECONDS = 60
# Each may have to be made; whoever serves more serves a pool.
MOST_QUEUES = 100


class Registration(Wire):
    """The registration of an agent; without queues it serves all of its pool."""

    name: Name
    incarnation: UUID
    work_pool_name: Name | None = None
    work_queues: Annotated[list[Name], Field(max_length=MOST_QUEUES)] = []
    concurrency: Annotated[Natural, Field(ge=1)] = 1
    host: Text255 | None = None
    pid: Natural | None = None
    version: Text255 | None = None


class Asking(Wire):
    incarnation: UUID
    limit: Annotated[int, Field(ge=0, le=MOST_RUNS)] = 1
    flow_run_id: UUID | None = None


class HeldRun(Wire):
    id: UUID
    epoch: Natural


class Pulse(Wire):
    incarnation: UUID
    runs: Annotated[list[HeldRun], Field(max_length=MOST_RUNS)] = []
    draining: bool = False


class Listening(Wire):
    """Which attempts an agent wants to hear of; those that it has begun to end it leaves out."""

    incarnation: UUID
    runs: Annotated[list[HeldRun], Field(max_length=MOST_RUNS)] = []


class HowLong(Wire):
    seconds: Annotated[float, Field(ge=0, le=LONGEST_WAIT_SECONDS)] = 0


class Ending(Wire):
    """How the process of an attempt ended. `reason` says why the agent ended it, if it did."""

    incarnation: UUID
    flow_run_id: UUID
    epoch: Natural
    exit_code: Int | None = None
    signal: Annotated[int, Field(ge=1, le=128)] | None = None
    reason: Text255 | None = None
    message: Annotated[str, Field(max_length=10_000)] | None = None


class Leaving(Wire):
    incarnation: UUID


class ServedQueue(TypedDict):
    """A queue of the agent, and the broker's queue on which it is told of due runs."""

    id: UUID
    name: str
    hint_queue: str


class RegistrationOut(TypedDict):
    id: UUID
    lease_seconds: float
    heartbeat_seconds: float
    poll_seconds: float
    work_queues: list[ServedQueue]


class ClaimedDeployment(TypedDict):
    """The code that the run's deployment names; its `job_variables` are overlaid by the run's own."""

    id: UUID
    name: str
    version: str | None
    tags: list[str]
    entrypoint: str | None
    path: str | None
    pull_steps: Any
    job_variables: dict[str, Any]


class ClaimedRun(TypedDict):
    """A run that belongs to the agent now; every write of the attempt names its epoch."""

    flow_run: FlowRunOut
    flow_name: str
    epoch: int
    deployment: ClaimedDeployment | None


class OrderOut(TypedDict):
    id: UUID
    order: Order


class PulseOut(TypedDict):
    lease_seconds: float
    orders: list[OrderOut]
    # Of an agent that serves its whole pool: some may be new to it.
    work_queues: list[ServedQueue]


class OrdersOut(TypedDict):
    orders: list[OrderOut]


class RegisterAgent(Operation):
    """Register an agent. The runs that an earlier start of this name held are revoked."""

    method = "POST"
    action_required = Action.SERVE_QUEUES
    answers = {201: RegistrationOut, 404: dict[str, str]}

    def perform(self, body: Registration) -> RegistrationOut:
        agent, queues = register_agent(who=AgentRegistration(**body.model_dump()), now=database_now())
        return {
            "id": agent.pk,
            "lease_seconds": settings.ORION_LEASE_SECONDS,
            "heartbeat_seconds": settings.ORION_HEARTBEAT_SECONDS,
            "poll_seconds": settings.ORION_AGENT_POLL_SECONDS,
            "work_queues": served(queues),
        }


class ClaimRuns(Operation):
    """Take the most urgent runs of the agent's queues, up to `limit`, or the run that is named, if it is due."""

    method = "POST"
    action_required = Action.SERVE_QUEUES
    answers = {200: list[ClaimedRun]}

    def perform(self, id: UUID, body: Asking) -> list[ClaimedRun]:
        now, run_id = database_now(), body.flow_run_id
        if run_id is None:
            claims = claim_next(agent_id=id, incarnation=body.incarnation, limit=body.limit, now=now)
        else:
            claims = claim_one(agent_id=id, incarnation=body.incarnation, flow_run_id=run_id, now=now)
        return claims_out(claims, now)


class SendHeartbeat(Operation):
    """Renew the leases of these attempts, and hear what is wanted of them."""

    method = "POST"
    action_required = Action.SERVE_QUEUES
    answers = {200: PulseOut}

    def perform(self, id: UUID, body: Pulse) -> PulseOut:
        orders = record_heartbeat(
            agent_id=id,
            incarnation=body.incarnation,
            runs={run.id: run.epoch for run in body.runs},
            draining=body.draining,
            now=database_now(),
        )
        answer: list[OrderOut] = [{"id": run_id, "order": order} for run_id, order in orders.items()]
        queues = served(queues_of_pool_agent(id))
        return {"lease_seconds": settings.ORION_LEASE_SECONDS, "orders": answer, "work_queues": queues}


class AwaitOrders(Operation):
    """Hear what is wanted of these attempts as soon as it is wanted, or that it is nothing, after `seconds` at most.

    No lease is renewed. Only Orion's own server waits; others answer at once.
    """

    method = "POST"
    action_required = Action.SERVE_QUEUES
    answers = {200: OrdersOut}

    def perform(self, id: UUID, body: Listening, query: HowLong) -> Response:
        runs = {run.id: run.epoch for run in body.runs}
        wanted = orders_now(agent_id=id, incarnation=body.incarnation, runs=runs, now=database_now())
        answer: list[OrderOut] = [{"id": run_id, "order": order} for run_id, order in wanted.items()]
        # The server keeps the answer back for so long, and asks again when something happens to the agent's runs.
        wait = {} if answer or not query.seconds else {WAIT_HEADER: f"{query.seconds:g}"}
        return Response({"orders": answer}, headers=wait)


class ReportEnd(Operation):
    """The process of an attempt is gone. What that makes of the run is decided here."""

    method = "POST"
    action_required = Action.SERVE_QUEUES
    answers = {200: StateOut | None}

    def perform(self, id: UUID, body: Ending) -> StateOut | None:
        process = ProcessExit(exit_code=body.exit_code, signal=body.signal, reason=body.reason, message=body.message)
        agent = present_agent(id, body.incarnation)
        state = report_end(
            flow_run_id=body.flow_run_id, epoch=body.epoch, process=process, agent_name=agent.name, now=database_now()
        )
        return state_out(state) if state else None


class LeaveAgent(Operation):
    """End an agent. The runs that it still holds are revoked."""

    method = "POST"
    action_required = Action.SERVE_QUEUES
    answers = {204: None}

    def perform(self, id: UUID, body: Leaving) -> None:
        leave(agent_id=id, incarnation=body.incarnation, now=database_now())


def served(queues: Iterable[WorkQueue]) -> list[ServedQueue]:
    return [{"id": one.pk, "name": one.name, "hint_queue": hint_queue(one.pk)} for one in queues]


def claims_out(claims: Sequence[Claim], now: datetime) -> list[ClaimedRun]:
    """A handful of queries, however many runs were claimed."""
    if not claims:
        return []
    rows = FlowRun.objects.select_related("flow").in_bulk([claim.flow_run_id for claim in claims])
    found = [(claim, rows[claim.flow_run_id]) for claim in claims if claim.flow_run_id in rows]
    runs = [run for _, run in found]
    deployments = Deployment.objects.in_bulk({run.deployment_id for run in runs if run.deployment_id})
    return [
        {
            "flow_run": out,
            "flow_name": run.flow.name,
            "epoch": claim.epoch,
            "deployment": deployment_out(deployments.get(run.deployment_id), run),
        }
        for (claim, run), out in zip(found, flow_runs_out(runs, now), strict=True)
    ]


def deployment_out(deployment: Deployment | None, run: FlowRun) -> ClaimedDeployment | None:
    if deployment is None:
        return None
    return {
        "id": deployment.pk,
        "name": deployment.name,
        "version": run.deployment_version or deployment.version,
        "tags": deployment.tags,
        "entrypoint": deployment.entrypoint,
        "path": deployment.path,
        "pull_steps": deployment.pull_steps,
        "job_variables": merged_variables(deployment.job_variables, run.job_variables),
    }


def merged_variables(general: dict[str, Any], special: dict[str, Any]) -> dict[str, Any]:
    """Environments are merged name by name, everything else is replaced."""
    merged = {**general, **special}
    if isinstance(general.get("env"), dict) and isinstance(special.get("env"), dict):
        merged["env"] = {**general["env"], **special["env"]}
    return merged
