"""Global limits: slots of anything that flows agree on by name, taken and returned by the flows themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import ceil
from typing import Annotated, Literal
from uuid import UUID

from django.db.models import Q
from django.utils import timezone
from pydantic import Field
from rest_framework.response import Response
from typing_extensions import TypedDict

from deployments.core.global_limits import as_of
from deployments.models import GlobalLimit
from deployments.services.global_limits import (
    create_global_limit,
    delete_global_limit,
    return_slots,
    take_slots,
    update_global_limit,
    usage_of,
)
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page, rows_of
from orchestration.errors import GlobalLimitNotFound
from orchestration.wire import Name, Natural, Seconds, StrictWire, Wire
from orion_site.accounts.permissions import Action

Slots = Annotated[int, Field(gt=0, lt=2**31)]
Names = Annotated[list[Name], Field(max_length=1000)]


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


class SlotRequest(Wire):
    slots: Slots
    names: Names
    mode: Literal["concurrency", "rate_limit"] = "concurrency"


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


class Locked(TypedDict):
    detail: str


class CreateGlobalLimit(Operation):
    """Limit something under a new name."""

    method = "POST"
    action_required = Action.CHANGE_LIMITS
    answers = {201: CreatedGlobalLimitOut}

    def perform(self, body: GlobalLimitCreate) -> Response:
        limit = create_global_limit(columns=body.model_dump(), now=timezone.now())
        denied, average = ceil(limit.denied_slots), limit.avg_slot_occupancy_seconds
        told = {**_out(limit), "denied_slots": denied, "avg_slot_occupancy_seconds": average}
        return Response(told, status=201)


class ReadGlobalLimit(Operation):
    """Read a limit, found by its id or its name."""

    method = "GET"
    action_required = Action.READ_LIMITS
    answers = {200: GlobalLimitOut}

    def perform(self, id_or_name: str) -> GlobalLimitOut:
        limit = GlobalLimit.objects.filter(_which(id_or_name)).first()
        if limit is None:
            raise GlobalLimitNotFound(name=id_or_name)
        return _out(limit)


class UpdateGlobalLimit(Operation):
    """Change a limit, found by its id or its name."""

    method = "PATCH"
    action_required = Action.CHANGE_LIMITS
    answers = {204: None}

    def perform(self, id_or_name: str, body: GlobalLimitUpdate) -> None:
        changes = body.model_dump(exclude_none=True)
        update_global_limit(which=_which(id_or_name), changes=changes, now=timezone.now())


class DeleteGlobalLimit(Operation):
    """Delete a limit, found by its id or its name."""

    method = "DELETE"
    action_required = Action.CHANGE_LIMITS
    answers = {204: None}

    def perform(self, id_or_name: str) -> None:
        delete_global_limit(which=_which(id_or_name))


class FilterGlobalLimits(Operation):
    """List limits by name."""

    method = "POST"
    action_required = Action.READ_LIMITS
    answers = {200: list[GlobalLimitOut]}
    body_optional = True

    def perform(self, body: Page) -> list[GlobalLimitOut]:
        return [_out(limit) for limit in rows_of(GlobalLimit.objects.order_by("name"), body)]


class TakeSlots(Operation):
    """Take slots of every limit named, or of none.

    When there is no room the answer is 423, and its Retry-After header says after how many seconds to ask again.
    """

    method = "POST"
    action_required = Action.TAKE_SLOTS
    answers = {200: list[NamedLimitOut], 423: Locked}

    def perform(self, body: SlotRequest) -> Response:
        as_rate = body.mode == "rate_limit"
        taken = take_slots(names=body.names, slots=body.slots, as_rate=as_rate, now=timezone.now())
        if taken.retry_after is not None:
            return Response({"detail": "Locked"}, status=423, headers={"Retry-After": f"{taken.retry_after:.3f}"})
        return Response(_named(taken.limits))


class ReturnSlots(Operation):
    """Return slots, and say how long they were held."""

    method = "POST"
    action_required = Action.TAKE_SLOTS
    answers = {200: list[NamedLimitOut]}

    def perform(self, body: SlotReturn) -> list[NamedLimitOut]:
        seconds = body.occupancy_seconds
        return _named(return_slots(names=body.names, slots=body.slots, occupancy_seconds=seconds, now=timezone.now()))


def _which(id_or_name: str) -> Q:
    try:
        return Q(pk=UUID(id_or_name))
    except ValueError:
        return Q(name=id_or_name)


def _named(limits: Sequence[GlobalLimit]) -> list[NamedLimitOut]:
    return [{"id": limit.id, "name": limit.name, "limit": limit.limit} for limit in limits]


def _out(limit: GlobalLimit) -> GlobalLimitOut:
    present = as_of(usage_of(limit), timezone.now())
    return {
        "id": limit.id,
        "created": limit.created,
        "updated": limit.updated,
        "active": limit.active,
        "name": limit.name,
        "limit": limit.limit,
        # A slot counts until the last of it has decayed.
        "active_slots": ceil(present.taken - 1e-9),
        "slot_decay_per_second": limit.slot_decay_per_second,
    }
