"""Holders of slots and runs that wait for them; leases that are renewed and released; slots released by force."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from deployments.dispatch.services.attempt_exit import Cause, release_by_force
from deployments.errors import ConcurrencyLimitNotFound, GlobalLimitNotFound
from deployments.limits.api.global_limits import taken_out, which_limit
from deployments.limits.selectors.capacity import slots_held, slots_of_anonymous_takers
from deployments.limits.selectors.holders import (
    Holding,
    holders_of_global_limit,
    holding_of,
    holding_of_tag,
)
from deployments.limits.services.held_slots import release_leases, renew_leases
from deployments.limits.services.limits import release_slot
from deployments.models import ConcurrencyLimit, GlobalLimit, WorkQueue
from orchestration.api.answers import as_answer
from orchestration.api.errors import existing
from orchestration.api.operations import Operation
from orchestration.api.states import state_out
from orchestration.database_clock import database_now
from orion_site.accounts.permissions import Action
from orionflow.contract import limits as contract


class RenewSlots(Operation):
    """Renew leases of slots. If one of the leases is over, none is renewed and the answer is 409."""

    method = "POST"
    action_required = Action.TAKE_SLOTS
    answers = {204: None}

    def named_rows(self, body: contract.LeaseRenewal) -> Iterable[tuple[str, UUID | None]]:
        return (("deployments_globalslot", one) for one in body.lease_ids)

    def perform(self, body: contract.LeaseRenewal) -> None:
        renew_leases(ids=body.lease_ids, lease=timedelta(seconds=body.seconds), now=database_now())


class ReleaseSlots(Operation):
    """Release leased slots. Leases that are already over are ignored."""

    method = "POST"
    action_required = Action.TAKE_SLOTS
    answers = {200: list[contract.TakenLimit]}

    def named_rows(self, body: contract.LeaseRelease) -> Iterable[tuple[str, UUID | None]]:
        return (("deployments_globalslot", one) for one in body.lease_ids)

    def perform(self, body: contract.LeaseRelease) -> list[dict[str, Any]]:
        limits = release_leases(ids=body.lease_ids, now=database_now())
        return [taken_out(limit) for limit in limits]


class ReadGlobalLimitHolders(Operation):
    """List the holders of slots of a global limit. Holders that did not identify themselves are only counted."""

    method = "GET"
    action_required = Action.READ_LIMITS
    answers = {200: contract.Holding}

    def perform(self, id_or_name: str) -> dict[str, Any]:
        limit, now = GlobalLimit.objects.filter(which_limit(id_or_name)).first(), database_now()
        if limit is None:
            raise GlobalLimitNotFound(name=id_or_name)
        taken = slots_held([limit.pk], now).get(limit.pk, 0) + slots_of_anonymous_takers(limit, now)
        return holding_out(Holding(limit.limit, taken, holders_of_global_limit(limit, now), []))


class ReadTagHolders(Operation):
    """List the task runs that hold slots of a tag, and those that wait for one."""

    method = "GET"
    action_required = Action.READ_LIMITS
    answers = {200: contract.Holding}

    def perform(self, tag: str) -> dict[str, Any]:
        limit = ConcurrencyLimit.objects.filter(tag=tag).first()
        if limit is None:
            raise ConcurrencyLimitNotFound(tag=tag)
        return holding_out(holding_of_tag(limit.pk, tag, limit.concurrency_limit))


class ReleaseTagSlot(Operation):
    """Release one task run's slot of a tag; the task continues without it."""

    method = "POST"
    action_required = Action.CHANGE_LIMITS
    answers = {204: None}

    def perform(self, tag: str, body: contract.SlotRelease) -> None:
        release_slot(tag=tag, task_run_id=body.task_run_id)


class ReleaseFlowRun(Operation):
    """Release the slots of a flow run by force: its attempt ends, and later reports of its process are refused.

    The run becomes Crashed, or waits for its next crash retry; one that was being cancelled becomes Cancelled.
    """

    method = "POST"
    action_required = Action.CHANGE_RUNS
    answers = {200: contract.ReleasedRun}
    body_optional = True

    def perform(self, id: UUID, body: contract.ForcedRelease) -> dict[str, Any]:
        cause = Cause(body.message or "Its slots were released by force.", "release")
        state = release_by_force(run_id=id, cause=cause, now=database_now())
        return {"state": state_out(state) if state else None}


class ReadQueueHolders(Operation):
    """List the runs that hold slots of a work queue, and due runs that wait for one."""

    method = "GET"
    action_required = Action.READ_QUEUES
    answers = {200: contract.Holding}

    def perform(self, id: UUID) -> dict[str, Any]:
        queue = existing(WorkQueue.objects.filter(pk=id).first(), "Work queue")
        return holding_out(holding_of(queue, database_now()))


def holding_out(holding: Holding) -> dict[str, Any]:
    return as_answer(
        contract.Holding,
        holding,
        holders=[as_answer(contract.Holder, one) for one in holding.holders],
        waiters=[as_answer(contract.Holder, one) for one in holding.waiters],
    )
