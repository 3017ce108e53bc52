"""Global limits: slots with a name, which flows take and return themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from math import ceil
from typing import Any
from uuid import UUID

from django.db.models import Q
from rest_framework.response import Response
from typing_extensions import TypedDict

from deployments.errors import GlobalLimitNotFound
from deployments.limits.selectors.capacity import slots_held, slots_of_anonymous_takers
from deployments.limits.services.global_limits import (
    create_global_limit,
    delete_global_limit,
    return_slots,
    take_slots,
    update_global_limit,
)
from deployments.limits.services.slot_leases import Taker
from deployments.models import GlobalLimit, GlobalSlot
from orchestration.api.answers import as_answer, changes_in
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import database_now
from orion_site.accounts.permissions import Action
from orionflow.contract import limits as contract


class Locked(TypedDict):
    detail: str


class CreateGlobalLimit(Operation):
    """Create a global concurrency limit."""

    method = "POST"
    action_required = Action.CHANGE_LIMITS
    answers = {201: contract.CreatedGlobalLimit}

    def perform(self, body: contract.GlobalLimitCreate) -> Response:
        limit = create_global_limit(columns=body.model_dump(), now=database_now())
        denied, average = ceil(limit.denied_slots), limit.avg_slot_occupancy_seconds
        answer = {**limits_out([limit])[0], "denied_slots": denied, "avg_slot_occupancy_seconds": average}
        return Response(answer, status=201)


class ReadGlobalLimit(Operation):
    """Read a limit, found by its id or its name."""

    method = "GET"
    action_required = Action.READ_LIMITS
    answers = {200: contract.GlobalLimit}

    def perform(self, id_or_name: str) -> dict[str, Any]:
        limit = GlobalLimit.objects.filter(which_limit(id_or_name)).first()
        if limit is None:
            raise GlobalLimitNotFound(name=id_or_name)
        return limits_out([limit])[0]


class UpdateGlobalLimit(Operation):
    """Change a limit, found by its id or its name."""

    method = "PATCH"
    action_required = Action.CHANGE_LIMITS
    answers = {204: None}

    def perform(self, id_or_name: str, body: contract.GlobalLimitUpdate) -> None:
        changes = changes_in(body, GlobalLimit)
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
    answers = {200: list[contract.GlobalLimit]}
    body_optional = True

    def perform(self, body: Page) -> list[dict[str, Any]]:
        return limits_out(self.paginate_queryset(GlobalLimit.objects.order_by("name")))


class TakeSlots(Operation):
    """Take slots of every limit named, or of none.

    If there is no room, the answer is 423; its Retry-After header says after how many seconds to ask again.
    """

    method = "POST"
    action_required = Action.TAKE_SLOTS
    answers = {200: list[contract.TakenLimit], 423: Locked}
    missing = 409
    reports = True

    def named_rows(self, body: contract.SlotRequest) -> Iterable[tuple[str, UUID | None]]:
        if body.holder is not None:
            yield "runs_flowrun", body.holder.flow_run_id
            yield "runs_taskrun", body.holder.task_run_id

    def perform(self, body: contract.SlotRequest) -> Response:
        taken = take_slots(
            names=body.names,
            slots=body.slots,
            as_rate=body.mode == "rate_limit",
            now=database_now(),
            taker=_taker(body),
        )
        if taken.retry_after is not None:
            return Response({"detail": "Locked"}, status=423, headers={"Retry-After": f"{taken.retry_after:.3f}"})
        return Response([taken_out(limit, taken.leases.get(limit.pk)) for limit in taken.limits])


class ReturnSlots(Operation):
    """Return slots, with the time that they were held."""

    method = "POST"
    action_required = Action.TAKE_SLOTS
    answers = {200: list[contract.TakenLimit]}

    def perform(self, body: contract.SlotReturn) -> list[dict[str, Any]]:
        limits = return_slots(**body.model_dump(), now=database_now())
        return [taken_out(limit) for limit in limits]


def which_limit(id_or_name: str) -> Q:
    try:
        return Q(pk=UUID(id_or_name))
    except ValueError:
        return Q(name=id_or_name)


def _taker(body: contract.SlotRequest) -> Taker | None:
    # Slots of a rate limit return by themselves, so there is no lease.
    if body.holder is None or body.mode == "rate_limit":
        return None
    return Taker(lease=timedelta(seconds=body.seconds), **body.holder.model_dump())


def taken_out(limit: GlobalLimit, lease: GlobalSlot | None = None) -> dict[str, Any]:
    lease_id, until = (lease.pk, lease.expires_at) if lease else (None, None)
    return as_answer(contract.TakenLimit, limit, lease_id=lease_id, expires_at=until)


def limits_out(limits: Sequence[GlobalLimit]) -> list[dict[str, Any]]:
    """Return limits as answers, with one query for the slots of all of them."""
    now = database_now()
    held = slots_held([limit.pk for limit in limits], now)
    return [
        as_answer(
            contract.GlobalLimit, limit, active_slots=slots_of_anonymous_takers(limit, now) + held.get(limit.pk, 0)
        )
        for limit in limits
    ]
