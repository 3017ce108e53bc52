"""The operations for agents: register, claim, heartbeat, report an exit, leave. See docs/explanation/dispatch.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from deployments.dispatch.gathering import Gathering
from deployments.dispatch.services.agents import (
    OWNER,
    adopted_by,
    leave,
    present_agent,
    queues_of_pool_agent,
    refuse_unseen_queues,
    register_agent,
)
from deployments.dispatch.services.attempt_exit import ProcessExit, report_end
from deployments.dispatch.services.claims import Claim, WorkRequest, claim_for_all
from deployments.dispatch.services.heartbeats import orders_now, record_heartbeat
from deployments.dispatch.waiting_agents import WAIT_HEADER
from deployments.models import Deployment, WorkQueue
from deployments.work.core.job_variables import merged
from orchestration.api.answers import as_answer
from orchestration.api.later import CAME_TO, WAITS, LaterAnswer
from orchestration.api.operations import Operation
from orchestration.api.states import state_out
from orchestration.compiled import Compiled
from orchestration.database_clock import database_now
from orchestration.sight import seeing
from orchestration.transactions import with_usable_connection
from orion_site.accounts.permissions import Action
from orion_site.accounts.run_tokens import token_of
from orionflow.contract import agents as contract
from orionflow.contract.runs import StateOut
from runs.flow_runs.api.flow_runs import flow_runs_out
from runs.models import FlowRun


class OfAgent(Operation):
    """An operation for an agent, which belongs to the account that registered it."""

    @property
    def account(self) -> int:
        return self.request.user.user_id or OWNER


class RegisterAgent(OfAgent):
    """Register an agent. Runs that an earlier start with this name held are revoked, except its survivors."""

    method = "POST"
    action_required = Action.SERVE_QUEUES
    by_sight = True
    answers = {201: contract.RegisteredAgent, 404: dict[str, str]}

    def perform(self, body: contract.AgentRegistration) -> dict[str, Any]:
        now = database_now()
        refuse_unseen_queues(pool_name=body.work_pool_name, queue_names=body.work_queues)
        with seeing(None):
            agent, queues = register_agent(who=body, now=now, account=self.account)
            adopted = [Claim(*attempt) for attempt in adopted_by(agent)] if body.survivors else []
            return as_answer(
                contract.RegisteredAgent,
                agent,
                lease_seconds=settings.ORION_LEASE_SECONDS,
                heartbeat_seconds=settings.ORION_HEARTBEAT_SECONDS,
                poll_seconds=settings.ORION_AGENT_POLL_SECONDS,
                work_queues=served(queues),
                adopted=claims_out([adopted], now, [self.account])[0],
            )


class OfRegistered(OfAgent):
    """An operation for the agent in the path. A user who sees the agent may see all runs that it can claim."""

    def _respond(self, request: Request, **path: str) -> HttpResponseBase:
        # The deployment of a run in the agent's queue may have another queue, but is needed to execute the run.
        with seeing(None):
            return super()._respond(request, **path)


class ClaimRuns(OfRegistered):
    """Take the most urgent runs of the agent's queues, up to `limit`, or the run that is named, if it is due."""

    method = "POST"
    action_required = Action.SERVE_QUEUES
    answers = {200: list[contract.ClaimedRun]}

    def perform(self, id: UUID, body: contract.ClaimRequest) -> list[dict[str, Any]] | LaterAnswer:
        if (error := self.request.META.get(CAME_TO)) is not None:
            # A later answer came to this error, so the request is made again, to have it handled like any other.
            raise error
        limit = 1 if body.flow_run_id else body.limit
        wanted = WorkRequest(id, body.incarnation, limit, body.flow_run_id, self.account)
        if self.request.META.get(WAITS):
            return LaterAnswer(_claims.ask_without_waiting(wanted))
        return _claims.ask(wanted)


class SendHeartbeat(OfRegistered):
    """Renew the leases of these attempts, and return orders for them."""

    method = "POST"
    action_required = Action.SERVE_QUEUES
    answers = {200: contract.HeartbeatReply}

    def perform(self, id: UUID, body: contract.Heartbeat) -> dict[str, Any]:
        orders = record_heartbeat(
            agent_id=id,
            incarnation=body.incarnation,
            runs={run.id: run.epoch for run in body.runs},
            draining=body.draining,
            now=database_now(),
            account=self.account,
        )
        return {
            "lease_seconds": settings.ORION_LEASE_SECONDS,
            "orders": orders_out(orders),
            "work_queues": served(queues_of_pool_agent(id)),
        }


class AwaitOrders(OfRegistered):
    """Return orders for these attempts as soon as there is one, or none after `seconds`.

    No lease is renewed. Only Orion's own server waits; others answer at once.
    """

    method = "POST"
    action_required = Action.SERVE_QUEUES
    answers = {200: contract.Orders}

    def perform(self, id: UUID, body: contract.OrdersRequest, query: contract.WaitQuery) -> Response:
        runs = {run.id: run.epoch for run in body.runs}
        wanted = orders_now(
            agent_id=id, incarnation=body.incarnation, runs=runs, now=database_now(), account=self.account
        )
        # The server holds the answer back for this long, and repeats the request when a run of the agent changes.
        wait = {} if wanted or not query.seconds else {WAIT_HEADER: f"{query.seconds:g}"}
        return Response({"orders": orders_out(wanted)}, headers=wait)


class ReportEnd(OfRegistered):
    """Report that the process of an attempt has ended. The server decides the new state of the run."""

    method = "POST"
    action_required = Action.SERVE_QUEUES
    masks_secrets = True
    answers = {200: StateOut | None}

    def perform(self, id: UUID, body: contract.AttemptExit) -> StateOut | None:
        process = ProcessExit(exit_code=body.exit_code, signal=body.signal, reason=body.reason, message=body.message)
        agent = present_agent(id, body.incarnation, self.account)
        state = report_end(
            flow_run_id=body.flow_run_id, epoch=body.epoch, process=process, agent=agent, now=database_now()
        )
        return state_out(state) if state else None


class LeaveAgent(OfRegistered):
    """Deregister an agent. The runs that it still holds are revoked."""

    method = "POST"
    action_required = Action.SERVE_QUEUES
    answers = {204: None}

    def perform(self, id: UUID, body: contract.AgentLeave) -> None:
        leave(agent_id=id, incarnation=body.incarnation, now=database_now(), account=self.account)


Answer = list[dict[str, Any]]


def answered(requests: Sequence[WorkRequest]) -> list[Answer | Exception]:
    now = database_now()
    came_to = claim_for_all(requests, now)
    claims = [[] if isinstance(one, Exception) else one for one in came_to]
    outs = claims_out(claims, now, [request.account for request in requests])
    return [one if isinstance(one, Exception) else out for one, out in zip(came_to, outs, strict=True)]


_claims: Gathering[WorkRequest, Answer] = Gathering(answered, most=100, on_own_thread=with_usable_connection)


def served(queues: Iterable[WorkQueue]) -> list[dict[str, Any]]:
    return [as_answer(contract.ServedQueue, one, hint_queue=contract.hint_queue(one.pk)) for one in queues]


def orders_out(orders: Mapping[UUID, contract.Order]) -> list[dict[str, Any]]:
    return [{"id": run_id, "order": order} for run_id, order in orders.items()]


_runs = Compiled(lambda ids: FlowRun.objects.select_related("flow").filter(pk__in=ids).order_by())
_deployments = Compiled(lambda ids: Deployment.objects.filter(pk__in=ids).order_by())


def claims_out(claims: Sequence[Sequence[Claim]], now: datetime, accounts: Sequence[int]) -> list[list[dict[str, Any]]]:
    """Return the claimed runs for each account, with a few queries for any number of runs."""
    ids = [claim.flow_run_id for some in claims for claim in some]
    if not ids:
        return [[] for _ in claims]
    rows = {run.pk: run for run in _runs(ids)}
    of_runs = list({run.deployment_id for run in rows.values() if run.deployment_id})
    deployments: Mapping[UUID | None, Deployment] = {one.pk: one for one in _deployments(of_runs)}
    runs = list(rows.values())
    outs = dict(zip(rows, flow_runs_out(runs, now), strict=True))
    return [
        [
            as_answer(
                contract.ClaimedRun,
                claim,
                flow_run=outs[claim.flow_run_id],
                flow_name=run.flow.name,
                run_token=token_of(claim.flow_run_id, claim.epoch, account) if account != OWNER else None,
                deployment=deployment_out(deployments.get(run.deployment_id), run),
            )
            for claim in some
            if (run := rows.get(claim.flow_run_id)) is not None
        ]
        for some, account in zip(claims, accounts, strict=True)
    ]


def deployment_out(deployment: Deployment | None, run: FlowRun) -> dict[str, Any] | None:
    if deployment is None:
        return None
    return as_answer(
        contract.ClaimedDeployment,
        deployment,
        version=run.deployment_version or deployment.version,
        job_variables=merged(deployment.job_variables, run.job_variables),
    )
