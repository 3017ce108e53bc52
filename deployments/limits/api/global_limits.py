"""Global limits: slots of anything that flows agree on by name, taken and returned by the flows themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from types import MappingProxyType
from typing import Annotated, Literal, NotRequired
from uuid import UUID

from django.db.models import Q
from pydantic import Field
from rest_framework.response import Response
from typing_extensions import TypedDict

from deployments.limits.core import as_of
from deployments.limits.selectors.capacity import slots_held
from deployments.limits.services.global_limits import (
    create_global_limit,
    delete_global_limit,
    return_slots,
    take_slots,
    update_global_limit,
    usage_of,
)
from deployments.limits.services.slot_leases import Taker
from deployments.models import GlobalLimit, GlobalSlot
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import database_now
from orchestration.errors import GlobalLimitNotFound
from orion_site.accounts.permissions import Action
from orionflow.contract.wire import Name, Natural, Seconds, StrictWire, Wire

Slots = Annotated[int, Field(gt=0, lt=2**31)]
Names = Annotated[list[Name], Field(max_length=1000)]


LeaseSeconds = Annotated[float, Field(ge=1, le=86400)]


class GlobalLimitCreate(StrictWire):
    name: Name
    limit: Natural
    active: bool = True
    active_slots: Natural = 0
    denied_slots: Natural = 0
    slot_decay_per_second: Seconds = 0


class GlobalLimitUpdate(StrictWire):
    """Only what is sent is changed."""

    name: Name | None = None
    limit: Natural | None = None
    active: bool | None = None
    active_slots: Natural | None = None
    denied_slots: Natural | None = None
    slot_decay_per_second: Seconds | None = None


class TakerIn(Wire):
    """Who takes slots: the attempt of a run, as far as there is one. With an `id` the request may be repeated."""

    id: UUID | None = None
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
    epoch: Natural | None = None


class SlotRequest(Wire):
    """With a `holder` the slots are leased for some seconds, and renewed and released by their leases."""

    slots: Slots
    names: Names
    mode: Literal["concurrency", "rate_limit"] | None = "concurrency"
    holder: TakerIn | None = None
    seconds: LeaseSeconds = 60


class SlotReturn(Wire):
    slots: Slots
    names: Names
    occupancy_seconds: Annotated[float, Field(gt=0, le=1e9)] | None = None


class GlobalLimitOut(TypedDict):
    """A limit and how much of it is in use now, decay included."""

    id: UUID
    created: datetime
    updated: datetime
    active: bool
    name: str
    limit: int
    active_slots: int
    slot_decay_per_second: float


class CreatedGlobalLimitOut(GlobalLimitOut):
    denied_slots: int
    avg_slot_occupancy_seconds: float


class NamedLimitOut(TypedDict):
    id: UUID
    name: str
    limit: int
    lease_id: NotRequired[UUID]
    expires_at: NotRequired[datetime]


class Locked(TypedDict):
    detail: str


class CreateGlobalLimit(Operation):
    """Limit something under a new name."""

    method = "POST"
    action_required = Action.CHANGE_LIMITS
    answers = {201: CreatedGlobalLimitOut}

    def perform(self, body: GlobalLimitCreate) -> Response:
        limit = create_global_limit(columns=body.model_dump(), now=database_now())
        denied, average = ceil(limit.denied_slots), limit.avg_slot_occupancy_seconds
        answer = {**limits_out([limit])[0], "denied_slots": denied, "avg_slot_occupancy_seconds": average}
        return Response(answer, status=201)


class ReadGlobalLimit(Operation):
    """Read a limit, found by its id or its name."""

    method = "GET"
    action_required = Action.READ_LIMITS
    answers = {200: GlobalLimitOut}

    def perform(self, id_or_name: str) -> GlobalLimitOut:
        limit = GlobalLimit.objects.filter(which_limit(id_or_name)).first()
        if limit is None:
            raise GlobalLimitNotFound(name=id_or_name)
        return limits_out([limit])[0]


class UpdateGlobalLimit(Operation):
    """Change a limit, found by its id or its name."""

    method = "PATCH"
    action_required = Action.CHANGE_LIMITS
    answers = {204: None}

    def perform(self, id_or_name: str, body: GlobalLimitUpdate) -> None:
        changes = body.model_dump(exclude_none=True)
        update_global_limit(which=which_limit(id_or_name), changes=changes, now=database_now())


class DeleteGlobalLimit(Operation):
    """Delete a limit, found by its id or its name."""

    method = "DELETE"
    action_required = Action.CHANGE_LIMITS
    answers = {204: None}

    def perform(self, id_or_name: str) -> None:
        delete_global_limit(which=which_limit(id_or_name))


class FilterGlobalLimits(Operation):
    """List limits by name."""

    method = "POST"
    action_required = Action.READ_LIMITS
    answers = {200: list[GlobalLimitOut]}
    body_optional = True

    def perform(self, body: Page) -> list[GlobalLimitOut]:
        return limits_out(self.paginate_queryset(GlobalLimit.objects.order_by("name")))


class TakeSlots(Operation):
    """Take slots of every limit named, or of none.

    When there is no room the answer is 423, and its Retry-After header says after how many seconds to ask again.
    """

    method = "POST"
    action_required = Action.TAKE_SLOTS
    answers = {200: list[NamedLimitOut], 423: Locked}
    missing = 409

    def perform(self, body: SlotRequest) -> Response:
        taken = take_slots(
            names=body.names,
            slots=body.slots,
            as_rate=body.mode == "rate_limit",
            now=database_now(),
            taker=_taker(body),
        )
        if taken.retry_after is not None:
            return Response({"detail": "Locked"}, status=423, headers={"Retry-After": f"{taken.retry_after:.3f}"})
        return Response(_named(taken.limits, taken.leases))


class ReturnSlots(Operation):
    """Return slots, and say how long they were held."""

    method = "POST"
    action_required = Action.TAKE_SLOTS
    answers = {200: list[NamedLimitOut]}

    def perform(self, body: SlotReturn) -> list[NamedLimitOut]:
        seconds = body.occupancy_seconds
        return _named(return_slots(names=body.names, slots=body.slots, occupancy_seconds=seconds, now=database_now()))


def which_limit(id_or_name: str) -> Q:
    try:
        return Q(pk=UUID(id_or_name))
    except ValueError:
        return Q(name=id_or_name)


def _taker(body: SlotRequest) -> Taker | None:
    # Slots of a rate come back by themselves: there is nothing to hold.
    if body.holder is None or body.mode == "rate_limit":
        return None
    return Taker(lease=timedelta(seconds=body.seconds), **body.holder.model_dump())


def _named(
    limits: Sequence[GlobalLimit], leases: Mapping[UUID, GlobalSlot] = MappingProxyType({})
) -> list[NamedLimitOut]:
    return [_named_one(limit, leases.get(limit.pk)) for limit in limits]


def _named_one(limit: GlobalLimit, lease: GlobalSlot | None) -> NamedLimitOut:
    answer: NamedLimitOut = {"id": limit.id, "name": limit.name, "limit": limit.limit}
    return {**answer, "lease_id": lease.pk, "expires_at": lease.expires_at} if lease else answer


def limits_out(limits: Sequence[GlobalLimit]) -> list[GlobalLimitOut]:
    """One query for the slots of all of them."""
    now = database_now()
    held = slots_held([limit.pk for limit in limits], now)
    return [_out(limit, held.get(limit.pk, 0), now) for limit in limits]


def _out(limit: GlobalLimit, held: int, now: datetime) -> GlobalLimitOut:
    return {
        "id": limit.id,
        "created": limit.created,
        "updated": limit.updated,
        "active": limit.active,
        "name": limit.name,
        "limit": limit.limit,
        "active_slots": taken_by_nobody(limit, now) + held,
        "slot_decay_per_second": limit.slot_decay_per_second,
    }


def taken_by_nobody(limit: GlobalLimit, now: datetime) -> int:
    """Slots of takers that did not say who they are. One counts until the last of it has decayed."""
    return ceil(as_of(usage_of(limit), now).taken - 1e-9)
