"""Workers of a pool: heartbeats, listing and deletion."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from django.db.models import F, Q

from deployments.dispatch.selectors.liveness import online
from deployments.dispatch.services.agents import OWNER, delete_worker, record_worker_heartbeat
from deployments.models import Worker
from deployments.work.services.work_queues import found_pool
from orchestration.api.answers import as_answer
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import agents as contract
from runs.lists.filters.conditions import Filter, Leaf, MomentRange, matched


class WorkerStatus(StrEnum):
    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"


class StatusMatch(Leaf):
    any_: list[WorkerStatus] | None = None
    not_any_: list[WorkerStatus] | None = None

    def conditions(self, column: str) -> Iterable[Q]:
        if self.any_ is not None:
            yield _in_one_of(self.any_)
        if self.not_any_ is not None:
            yield ~_in_one_of(self.not_any_)


class WorkerFilter(Filter):
    columns: ClassVar = {"last_heartbeat_time": "last_heartbeat"}

    last_heartbeat_time: MomentRange | None = None
    status: StatusMatch | None = None


class WorkerListing(Page):
    workers: WorkerFilter | None = None


class HearWorker(Operation):
    """Record a heartbeat of a worker."""

    method = "POST"
    action_required = Action.SERVE_QUEUES
    answers = {204: None}

    def perform(self, work_pool_name: str, body: contract.WorkerHeartbeat) -> None:
        seconds = body.heartbeat_interval_seconds
        interval = max(int(seconds), 1) if seconds else None
        record_worker_heartbeat(
            pool_name=work_pool_name,
            name=body.name,
            interval_seconds=interval,
            now=current_time(),
            account=self.request.user.user_id or OWNER,
        )


class FilterWorkers(Operation):
    """List the workers of a pool, most recent heartbeat first."""

    method = "POST"
    action_required = Action.READ_QUEUES
    answers = {200: list[contract.Worker]}
    body_optional = True

    def perform(self, work_pool_name: str, body: WorkerListing) -> list[dict[str, Any]]:
        workers = Worker.objects.filter(matched(body.workers), work_pool=found_pool(work_pool_name))
        newest_first = workers.order_by(F("last_heartbeat").desc(nulls_last=True), "name")
        return [worker_out(worker, current_time()) for worker in self.paginate_queryset(newest_first)]


class DeleteWorker(Operation):
    """Remove a worker. One that is still running returns with its next heartbeat."""

    method = "DELETE"
    action_required = Action.CHANGE_QUEUES
    answers = {204: None}

    def perform(self, work_pool_name: str, name: str) -> None:
        delete_worker(pool_name=work_pool_name, name=name)


def worker_out(worker: Worker, now: datetime) -> dict[str, Any]:
    is_online = worker.offline_at is not None and worker.offline_at > now
    return as_answer(
        contract.Worker,
        worker,
        last_heartbeat_time=worker.last_heartbeat,
        status="ONLINE" if is_online else "OFFLINE",
    )


def _in_one_of(statuses: list[WorkerStatus]) -> Q:
    there = online(current_time())
    gone = Q(offline_at__isnull=True) | ~there
    chosen = Q(pk__in=[])
    for status in statuses:
        chosen |= there if status is WorkerStatus.ONLINE else gone
    return chosen
