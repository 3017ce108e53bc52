"""Polling for runs: agents, workers and runners of Prefect ask which runs they may start."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from deployments.dispatch.selectors.due import due_ids, in_order
from deployments.errors import WorkQueueNotFound
from deployments.limits.selectors.capacity import takes_runs_of
from deployments.models import Deployment, WorkQueue
from deployments.work.api.work_queues import all_queues, queues_out
from deployments.work.services.polls import note_polled_deployments, note_polled_queues
from deployments.work.services.work_queues import found_pool
from orchestration.api.errors import Missing, Refused, existing
from orchestration.api.operations import Operation
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import agents as contract
from orionflow.contract import work
from runs.flow_runs.api.flow_runs import flow_runs_out
from runs.flow_runs.schemas import FlowRunOut, PolledFlowRunOut
from runs.models import FlowRun


class Polling(Operation):
    """The base of the polling operations. Requests of the UI are not recorded: looking at a queue does not serve it."""

    method = "POST"
    action_required = Action.SERVE_QUEUES
    body_optional = True

    def is_a_page(self) -> bool:
        return bool(self.request.headers.get("X-PREFECT-UI", "").lower() == "true")


class PollWorkPool(Polling):
    """List runs that a worker may start from a pool, or from some of its queues, most urgent first."""

    answers = {200: list[contract.WorkerFlowRun]}

    def perform(self, name: str, body: contract.PoolPoll) -> list[dict[str, Any]]:
        now, pool = current_time(), found_pool(name)
        ids = _queues_named(pool.pk, body.work_queue_names)
        limit = limit_of(body)
        runs = in_order(due_ids(queues=ids, before=body.scheduled_before, after=body.scheduled_after, limit=limit))
        if not self.is_a_page():
            note_polled_queues(queue_ids=ids, now=now)
        return [
            {"work_pool_id": pool.pk, "work_queue_id": _queue_of(run, ids), "flow_run": _without_pool(answer)}
            for run, answer in zip(runs, flow_runs_out(runs, now), strict=True)
        ]


class PollWorkQueue(Polling):
    """List runs that an agent may start from a queue, ordered by scheduled time."""

    answers = {200: list[FlowRunOut]}

    def perform(self, id: UUID, body: contract.QueuePoll) -> list[FlowRunOut]:
        now, limit = current_time(), limit_of(body)
        if not WorkQueue.objects.filter(pk=id).exists():
            raise Missing("Work queue")
        runs = in_order(due_ids(queues=[id], before=body.scheduled_before, limit=limit))
        if not self.is_a_page():
            note_polled_queues(queue_ids=[id], now=now)
        return flow_runs_out(runs, now)


class PollDeployments(Polling):
    """List runs of these deployments that may be started, ordered by scheduled time."""

    answers = {200: list[FlowRunOut]}
    body_optional = False

    def perform(self, body: contract.DeploymentPoll) -> list[FlowRunOut]:
        now, limit = current_time(), limit_of(body)
        runs = in_order(due_ids(deployments=body.deployment_ids, before=body.scheduled_before, limit=limit))
        if not self.is_a_page():
            note_polled_deployments(deployment_ids=body.deployment_ids, now=now)
        return flow_runs_out(runs, now)


class CheckWorkQueues(Operation):
    """List the queues from which the runs of a deployment are taken."""

    method = "GET"
    action_required = Action.READ_QUEUES
    answers = {200: list[work.WorkQueue]}

    def perform(self, id: UUID) -> list[dict[str, Any]]:
        deployment = existing(Deployment.objects.filter(pk=id).only("work_queue_id", "tags").first(), "Deployment")
        queues = all_queues().filter(Q(pk=deployment.work_queue_id) | Q(filter__isnull=False)).order_by("name", "pk")
        return queues_out([queue for queue in queues if takes_runs_of(queue, deployment)], current_time())


def _without_pool(answer: FlowRunOut) -> PolledFlowRunOut:
    """Return the run without its pool, which is next to it in the answer. Clients of Prefect 2 may refuse both."""
    return cast(PolledFlowRunOut, {name: value for name, value in answer.items() if name not in _POOL})


_POOL = frozenset({"work_pool_id", "work_pool_name"})


def limit_of(poll: contract.Poll) -> int:
    most: int = settings.ORION_API_DEFAULT_LIMIT
    if poll.limit is None:
        return most
    if not 0 <= poll.limit <= most:
        raise Refused(f"Invalid limit: must be less than or equal to {most}.")
    return poll.limit


def _queues_named(pool_id: UUID, names: list[str] | None) -> list[UUID]:
    queues = WorkQueue.objects.filter(work_pool=pool_id)
    if not names:
        return list(queues.values_list("pk", flat=True))
    found = dict(queues.filter(name__in=names).values_list("name", "pk"))
    for name in names:
        if name not in found:
            raise WorkQueueNotFound(name=name)
    return list(found.values())


def _queue_of(run: FlowRun, asked: list[UUID]) -> UUID:
    """Return the queue of the run. A run that the filter of a queue selected may have none itself."""
    return run.work_queue_id or asked[0]
