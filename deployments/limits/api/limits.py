"""Limits on how many task runs with a tag may run at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from deployments.limits.services.limits import delete_limit, delete_limit_by_id, reset_limit, set_limit
from deployments.models import ConcurrencyLimit, Slot
from orchestration.api.answers import as_answer
from orchestration.api.errors import existing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import limits as contract


class SetConcurrencyLimit(Operation):
    """Limit a tag, or change its limit."""

    method = "POST"
    action_required = Action.CHANGE_LIMITS
    answers = {200: contract.ConcurrencyLimit}

    def perform(self, body: contract.ConcurrencyLimitCreate) -> dict[str, Any]:
        limit, _ = set_limit(tag=body.tag, slots=body.concurrency_limit, now=current_time())
        return limits_out([limit])[0]


class ReadConcurrencyLimit(Operation):
    """Read a limit by its id."""

    method = "GET"
    action_required = Action.READ_LIMITS
    answers = {200: contract.ConcurrencyLimit}

    def perform(self, id: UUID) -> dict[str, Any]:
        return _found(ConcurrencyLimit.objects.filter(pk=id).first())


class ReadConcurrencyLimitByTag(Operation):
    """Read the limit of a tag."""

    method = "GET"
    action_required = Action.READ_LIMITS
    answers = {200: contract.ConcurrencyLimit}

    def perform(self, tag: str) -> dict[str, Any]:
        return _found(ConcurrencyLimit.objects.filter(tag=tag).first())


class FilterConcurrencyLimits(Operation):
    """List limits by tag."""

    method = "POST"
    action_required = Action.READ_LIMITS
    answers = {200: list[contract.ConcurrencyLimit]}
    body_optional = True

    def perform(self, body: Page) -> list[dict[str, Any]]:
        return limits_out(self.paginate_queryset(ConcurrencyLimit.objects.order_by("tag")))


class ResetConcurrencyLimit(Operation):
    """Free every slot of a tag, or leave them to the task runs in `slot_override`."""

    method = "POST"
    action_required = Action.CHANGE_LIMITS
    answers = {200: None}
    body_optional = True

    def perform(self, tag: str, body: contract.ConcurrencyLimitReset) -> None:
        reset_limit(tag=tag, held_by=body.slot_override or (), now=current_time())


class DeleteConcurrencyLimit(Operation):
    """Delete a limit by its id."""

    method = "DELETE"
    action_required = Action.CHANGE_LIMITS
    answers = {200: None}

    def perform(self, id: UUID) -> None:
        delete_limit_by_id(limit_id=id)


class DeleteConcurrencyLimitByTag(Operation):
    """Delete the limit of a tag."""

    method = "DELETE"
    action_required = Action.CHANGE_LIMITS
    answers = {200: None}

    def perform(self, tag: str) -> None:
        delete_limit(tag=tag)


def limits_out(limits: Sequence[ConcurrencyLimit]) -> list[dict[str, Any]]:
    """Return limits as answers, with one query for the slots of all of them."""
    holders: dict[UUID, list[UUID]] = {limit.id: [] for limit in limits}
    slots = Slot.objects.filter(limit__in=holders).order_by("taken_at", "pk") if holders else Slot.objects.none()
    for limit_id, task_run_id in slots.values_list("limit_id", "task_run_id"):
        holders[limit_id].append(task_run_id)
    return [as_answer(contract.ConcurrencyLimit, limit, active_slots=holders[limit.id]) for limit in limits]


def _found(limit: ConcurrencyLimit | None) -> dict[str, Any]:
    return limits_out([existing(limit, "Concurrency limit")])[0]
