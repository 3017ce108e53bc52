"""Work queues: runs that wait for an agent. Queues are found by id, or by name within a pool."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from deployments.dispatch.selectors.liveness import last_asked, statuses_of_queues
from deployments.models import WorkQueue
from deployments.work.selectors import health_of
from deployments.work.services.work_queues import (
    DEFAULT_POOL,
    create_work_queue,
    delete_work_queue,
    found_pool,
    found_queue,
    update_work_queue,
)
from orchestration.api.answers import as_answer, changes_in
from orchestration.api.errors import existing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import work as contract
from runs.lists.filters.conditions import matched
from runs.lists.filters.resources import WorkQueueFilter


class WorkQueueListing(Page):
    work_queues: WorkQueueFilter | None = None


class CreateWorkQueue(Operation):
    """Create a work queue in the default pool."""

    method = "POST"
    action_required = Action.CHANGE_QUEUES
    answers = {201: contract.WorkQueue}

    def perform(self, body: contract.WorkQueueCreate) -> dict[str, Any]:
        return _created(None, body)


class ReadWorkQueue(Operation):
    """Read a work queue by its id."""

    method = "GET"
    action_required = Action.READ_QUEUES
    answers = {200: contract.WorkQueue}

    def perform(self, id: UUID) -> dict[str, Any]:
        return queues_out([_found(id)], current_time())[0]


class ReadWorkQueueByName(Operation):
    """Read a queue of the default pool by its name."""

    method = "GET"
    action_required = Action.READ_QUEUES
    answers = {200: contract.WorkQueue}

    def perform(self, name: str) -> dict[str, Any]:
        queue = existing(all_queues().filter(work_pool__name=DEFAULT_POOL, name=name).first(), "Work queue")
        return queues_out([queue], current_time())[0]


class UpdateWorkQueue(Operation):
    """Pause or resume a queue, limit it, or change its priority. Lowering a limit stops no run."""

    method = "PATCH"
    action_required = Action.CHANGE_QUEUES
    answers = {204: None}

    def perform(self, id: UUID, body: contract.WorkQueueUpdate) -> None:
        update_work_queue(queue_id=id, changes=_changes(body), now=current_time())


class DeleteWorkQueue(Operation):
    """Delete a queue. Its runs wait until it is created again; with `force=false`, a queue in use is kept."""

    method = "DELETE"
    action_required = Action.CHANGE_QUEUES
    answers = {204: None}

    def perform(self, id: UUID, query: contract.Deletion) -> None:
        delete_work_queue(queue_id=id, force=query.force is not False)


class FilterWorkQueues(Operation):
    """List the work queues of all pools by name."""

    method = "POST"
    action_required = Action.READ_QUEUES
    answers = {200: list[contract.WorkQueue]}
    body_optional = True

    def perform(self, body: WorkQueueListing) -> list[dict[str, Any]]:
        queues = all_queues().filter(matched(body.work_queues)).order_by("name", "pk")
        return queues_out(self.paginate_queryset(queues), current_time())


class ReadWorkQueueStatus(Operation):
    """Return whether a queue is healthy: polled recently, and no run late."""

    method = "GET"
    action_required = Action.READ_QUEUES
    answers = {200: contract.WorkQueueStatus}

    def perform(self, id: UUID) -> dict[str, Any]:
        return health_of(_found(id), current_time()).model_dump()


class CreatePoolQueue(Operation):
    """Create a work queue in a pool."""

    method = "POST"
    action_required = Action.CHANGE_QUEUES
    answers = {201: contract.WorkQueue}

    def perform(self, work_pool_name: str, body: contract.WorkQueueCreate) -> dict[str, Any]:
        return _created(work_pool_name, body)


class ReadPoolQueue(Operation):
    """Read a queue of a pool by its name."""

    method = "GET"
    action_required = Action.READ_QUEUES
    answers = {200: contract.WorkQueue}

    def perform(self, work_pool_name: str, name: str) -> dict[str, Any]:
        return queues_out([found_queue(pool_name=work_pool_name, queue_name=name)], current_time())[0]


class UpdatePoolQueue(Operation):
    """Change a queue of a pool, found by its name."""

    method = "PATCH"
    action_required = Action.CHANGE_QUEUES
    answers = {204: None}

    def perform(self, work_pool_name: str, name: str, body: contract.WorkQueueUpdate) -> None:
        queue = found_queue(pool_name=work_pool_name, queue_name=name)
        update_work_queue(queue_id=queue.pk, changes=_changes(body), now=current_time())


class DeletePoolQueue(Operation):
    """Delete a queue of a pool, found by its name."""

    method = "DELETE"
    action_required = Action.CHANGE_QUEUES
    answers = {204: None}

    def perform(self, work_pool_name: str, name: str, query: contract.Deletion) -> None:
        queue = found_queue(pool_name=work_pool_name, queue_name=name)
        delete_work_queue(queue_id=queue.pk, force=query.force is not False)


class FilterPoolQueues(Operation):
    """List the queues of a pool, most urgent first."""

    method = "POST"
    action_required = Action.READ_QUEUES
    answers = {200: list[contract.WorkQueue]}
    body_optional = True

    def perform(self, work_pool_name: str, body: WorkQueueListing) -> list[dict[str, Any]]:
        pool = found_pool(work_pool_name)
        queues = all_queues().filter(matched(body.work_queues), work_pool=pool).order_by("priority", "name")
        return queues_out(self.paginate_queryset(queues), current_time())


def all_queues() -> QuerySet[WorkQueue]:
    return WorkQueue.objects.select_related("work_pool")


def queues_out(queues: Sequence[WorkQueue], now: datetime) -> list[dict[str, Any]]:
    """Return queues, which were loaded with their pools, as answers. Two further queries."""
    statuses, asked = statuses_of_queues(queues, now), last_asked(queues, now)
    return [
        as_answer(
            contract.WorkQueue,
            queue,
            last_polled=asked[queue.id],
            work_pool_name=queue.work_pool.name if queue.work_pool else None,
            status=statuses[queue.id],
        )
        for queue in queues
    ]


def _changes(body: contract.WorkQueueUpdate) -> dict[str, Any]:
    changes = changes_in(body, WorkQueue)
    return {**changes, "filter": body.filter.model_dump(mode="json")} if body.filter else changes


def _created(pool_name: str | None, body: contract.WorkQueueCreate) -> dict[str, Any]:
    columns = {**body.model_dump(mode="json"), "description": body.description or ""}
    queue = create_work_queue(pool_name=pool_name, columns=columns, now=current_time())
    return queues_out([queue], current_time())[0]


def _found(id: UUID) -> WorkQueue:
    return existing(all_queues().filter(pk=id).first(), "Work queue")
