"""Work pools: where runs are executed, and the queues of their waiting runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from deployments.dispatch.selectors.liveness import statuses_of_pools
from deployments.models import WorkPool
from deployments.work.services.work_pools import create_work_pool, delete_work_pool, update_work_pool
from deployments.work.services.work_queues import found_pool
from orchestration.api.answers import as_answer, changes_in
from orchestration.api.errors import Refused
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import work as contract
from orionflow.contract.kinds import AGENT_POOL
from orionflow.contract.wire import Wire
from runs.lists.filters.conditions import matched
from runs.lists.filters.resources import WorkPoolFilter


class WorkPoolSearch(Wire):
    work_pools: WorkPoolFilter | None = None


class WorkPoolListing(WorkPoolSearch, Page):
    pass


class CreateWorkPool(Operation):
    """Create a work pool with its default queue."""

    method = "POST"
    action_required = Action.CHANGE_QUEUES
    answers = {201: contract.WorkPool}

    def perform(self, body: contract.WorkPoolCreate) -> dict[str, Any]:
        if not body.name.strip("' \""):
            raise Refused("Work pool name cannot be empty.", 400)
        return pools_out([create_work_pool(columns=body.model_dump(), now=current_time())], current_time())[0]


class ReadWorkPool(Operation):
    """Read a work pool by its name."""

    method = "GET"
    action_required = Action.READ_QUEUES
    answers = {200: contract.WorkPool}

    def perform(self, name: str) -> dict[str, Any]:
        return pools_out([found_pool(name)], current_time())[0]


class UpdateWorkPool(Operation):
    """Pause or resume a pool, limit it, or change its template. Lowering a limit stops no run."""

    method = "PATCH"
    action_required = Action.CHANGE_QUEUES
    answers = {204: None}

    def perform(self, name: str, body: contract.WorkPoolUpdate) -> None:
        update_work_pool(name=name, changes=changes_in(body, WorkPool), now=current_time())


class DeleteWorkPool(Operation):
    """Delete a pool with its queues and workers. Deployments that use it wait until it is created again.

    A pool with unfinished runs is deleted only with `force`, and so is the default pool while it is used. With
    `force=false`, every pool in use is kept.
    """

    method = "DELETE"
    action_required = Action.CHANGE_QUEUES
    answers = {204: None}

    def perform(self, name: str, query: contract.Deletion) -> None:
        delete_work_pool(name=name, force=query.force)


class FilterWorkPools(Operation):
    """List work pools by name."""

    method = "POST"
    action_required = Action.READ_QUEUES
    answers = {200: list[contract.WorkPool]}
    body_optional = True

    def perform(self, body: WorkPoolListing) -> list[dict[str, Any]]:
        pools = WorkPool.objects.filter(matched(body.work_pools)).order_by("name")
        return pools_out(self.paginate_queryset(pools), current_time())


class CountWorkPools(Operation):
    """Count work pools."""

    method = "POST"
    action_required = Action.READ_QUEUES
    answers = {200: int}
    body_optional = True

    def perform(self, body: WorkPoolSearch) -> int:
        return WorkPool.objects.filter(matched(body.work_pools)).count()


def pools_out(pools: Sequence[WorkPool], now: datetime) -> list[dict[str, Any]]:
    # Pools for agents are left out: Prefect's agents send no heartbeats.
    statuses = statuses_of_pools([pool for pool in pools if pool.type != AGENT_POOL], now)
    return [as_answer(contract.WorkPool, pool, status=statuses.get(pool.id)) for pool in pools]
