"""Work pools: where runs are executed, with the queues before them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from django.utils import timezone
from pydantic import Field
from typing_extensions import TypedDict

from deployments.dispatch.selectors.liveness import statuses_of_pools
from deployments.models import WorkPool
from deployments.work.services.work_pools import create_work_pool, delete_work_pool, update_work_pool
from deployments.work.services.work_queues import AGENT_POOL, found_pool
from orchestration.api.errors import Refused
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orion_site.accounts.permissions import Action
from orionflow.contract.wire import NAME_PATTERN, Findable, JSONObject, Natural, StrictWire, Text255, Wire
from runs.lists.filters.conditions import matched
from runs.lists.filters.resources import WorkPoolFilter


class WorkPoolCreate(StrictWire):
    # An empty one is refused below, in the words and with the status that clients know.
    name: Annotated[str, Field(max_length=255, pattern=NAME_PATTERN.replace("+", "*")), Findable]
    description: str | None = None
    type: Text255 = "prefect-agent"
    base_job_template: JSONObject = {}
    is_paused: bool = False
    concurrency_limit: Natural | None = None


class WorkPoolUpdate(StrictWire):
    """Only what is sent is changed; a limit of null lifts it."""

    description: str | None = None
    is_paused: bool | None = None
    base_job_template: JSONObject | None = None
    concurrency_limit: Natural | None = None


class WorkPoolSearch(Wire):
    work_pools: WorkPoolFilter | None = None


class WorkPoolListing(WorkPoolSearch, Page):
    pass


class WorkPoolOut(TypedDict):
    """A pool; it is READY while a worker of it is there."""

    id: UUID
    created: datetime
    updated: datetime
    name: str
    description: str | None
    type: str
    base_job_template: dict[str, Any]
    is_paused: bool
    concurrency_limit: int | None
    status: Literal["READY", "NOT_READY", "PAUSED"] | None
    default_queue_id: UUID | None


class CreateWorkPool(Operation):
    """Make a work pool with its default queue."""

    method = "POST"
    action_required = Action.CHANGE_QUEUES
    answers = {201: WorkPoolOut}

    def perform(self, body: WorkPoolCreate) -> WorkPoolOut:
        if not body.name.strip("' \""):
            raise Refused("Work pool name cannot be empty.", 400)
        return pools_out([create_work_pool(columns=body.model_dump(), now=timezone.now())], timezone.now())[0]


class ReadWorkPool(Operation):
    """Read a work pool by its name."""

    method = "GET"
    action_required = Action.READ_QUEUES
    answers = {200: WorkPoolOut}

    def perform(self, name: str) -> WorkPoolOut:
        return pools_out([found_pool(name)], timezone.now())[0]


class UpdateWorkPool(Operation):
    """Pause or resume a pool, limit it, or change its template. Lowering a limit stops no run."""

    method = "PATCH"
    action_required = Action.CHANGE_QUEUES
    answers = {204: None}

    def perform(self, name: str, body: WorkPoolUpdate) -> None:
        update_work_pool(name=name, changes=sent_in(body, MAY_BE_NULL), now=timezone.now())


class Forced(Wire):
    """Whether something is deleted although it is used; null leaves that to what it is."""

    force: bool | None = None


class DeleteWorkPool(Operation):
    """Delete a pool with its queues and workers. Deployments that use it wait until it is made again.

    Pools with unfinished runs go by `force` only, and so does the default pool while it is used. With `force=false` any
    pool that is used stays.
    """

    method = "DELETE"
    action_required = Action.CHANGE_QUEUES
    answers = {204: None}

    def perform(self, name: str, query: Forced) -> None:
        delete_work_pool(name=name, force=query.force)


class FilterWorkPools(Operation):
    """List work pools by name."""

    method = "POST"
    action_required = Action.READ_QUEUES
    answers = {200: list[WorkPoolOut]}
    body_optional = True

    def perform(self, body: WorkPoolListing) -> list[WorkPoolOut]:
        pools = WorkPool.objects.filter(matched(body.work_pools)).order_by("name")
        return pools_out(self.paginate_queryset(pools), timezone.now())


class CountWorkPools(Operation):
    """Count work pools."""

    method = "POST"
    action_required = Action.READ_QUEUES
    answers = {200: int}
    body_optional = True

    def perform(self, body: WorkPoolSearch) -> int:
        return WorkPool.objects.filter(matched(body.work_pools)).count()


MAY_BE_NULL = frozenset({"description", "concurrency_limit"})


def sent_in(body: StrictWire, may_be_null: frozenset[str]) -> dict[str, Any]:
    """Return the sent fields; null means "leave as it is", except where the column itself may be empty."""
    sent = body.model_dump(exclude_unset=True)
    return {name: value for name, value in sent.items() if value is not None or name in may_be_null}


def pools_out(pools: Sequence[WorkPool], now: datetime) -> list[WorkPoolOut]:
    statuses = statuses_of_pools(pools, now) if pools else {}
    return [
        {
            "id": pool.id,
            "created": pool.created,
            "updated": pool.updated,
            "name": pool.name,
            "description": pool.description,
            "type": pool.type,
            "base_job_template": pool.base_job_template,
            "is_paused": pool.is_paused,
            "concurrency_limit": pool.concurrency_limit,
            # No worker says whether it is there for a pool of agents.
            "status": None if pool.type == AGENT_POOL else statuses[pool.id],
            "default_queue_id": pool.default_queue_id,
        }
        for pool in pools
    ]
