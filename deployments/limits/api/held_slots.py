"""Who holds places and slots, and who waits for them; leases kept and given back; a holder's slot taken from it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from deployments.dispatch.services.attempt_exit import Cause, release_by_force
from deployments.limits.api.global_limits import LeaseSeconds, NamedLimitOut, taken_by_nobody, which_limit
from deployments.limits.selectors.capacity import slots_held
from deployments.limits.selectors.holders import (
    Holder,
    Holding,
    holders_of_global_limit,
    holding_of,
    holding_of_tag,
)
from deployments.limits.services.held_slots import release_leases, renew_leases
from deployments.limits.services.limits import release_slot
from deployments.models import ConcurrencyLimit, GlobalLimit, WorkQueue
from orchestration.api.errors import Missing
from orchestration.api.operations import Operation
from orchestration.api.states import state_out
from orchestration.database_clock import database_now
from orchestration.errors import ConcurrencyLimitNotFound, GlobalLimitNotFound
from orion_site.accounts.permissions import Action
from orionflow.contract.runs import StateOut
from orionflow.contract.wire import Text1024, Wire

LeaseIds = Annotated[list[UUID], Field(min_length=1, max_length=1000)]


class LeaseRenewal(Wire):
    lease_ids: LeaseIds
    seconds: LeaseSeconds = 60


class LeaseRelease(Wire):
    lease_ids: LeaseIds


class SlotRelease(Wire):
    task_run_id: UUID


class HolderOut(TypedDict):
    """A run that holds something, or waits for it. `lease_id` and `until` only where there is a lease."""

    kind: Literal["flow-run", "task-run"]
    id: UUID
    name: str
    state_type: str | None
    flow_run_id: UUID | None
    since: datetime | None
    slots: int
    lease_id: UUID | None
    until: datetime | None


class HoldingOut(TypedDict):
    """How many there are (null: no limit), how many are taken, by whom, and who waits."""

    limit: int | None
    taken: int
    holders: list[HolderOut]
    waiters: list[HolderOut]


class ForcedRelease(Wire):
    message: Text1024 | None = None


class ReleasedOut(TypedDict):
    """The state in which that left the run."""

    state: StateOut | None


class RenewSlots(Operation):
    """Keep leased slots for longer. When one of the leases is over, none is renewed and the answer is 409."""

    method = "POST"
    action_required = Action.TAKE_SLOTS
    answers = {204: None}

    def perform(self, body: LeaseRenewal) -> None:
        renew_leases(ids=body.lease_ids, lease=timedelta(seconds=body.seconds), now=database_now())


class ReleaseSlots(Operation):
    """Give leased slots back. Leases that are over already are passed over."""

    method = "POST"
    action_required = Action.TAKE_SLOTS
    answers = {200: list[NamedLimitOut]}

    def perform(self, body: LeaseRelease) -> list[NamedLimitOut]:
        limits = release_leases(ids=body.lease_ids, now=database_now())
        return [{"id": limit.id, "name": limit.name, "limit": limit.limit} for limit in limits]


class ReadGlobalLimitHolders(Operation):
    """Say who holds slots of a global limit. Slots of takers that did not say who they are are only counted."""

    method = "GET"
    action_required = Action.READ_LIMITS
    answers = {200: HoldingOut}

    def perform(self, id_or_name: str) -> HoldingOut:
        limit, now = GlobalLimit.objects.filter(which_limit(id_or_name)).first(), database_now()
        if limit is None:
            raise GlobalLimitNotFound(name=id_or_name)
        taken = slots_held([limit.pk], now).get(limit.pk, 0) + taken_by_nobody(limit, now)
        return holding_out(Holding(limit.limit, taken, holders_of_global_limit(limit, now), []))


class ReadTagHolders(Operation):
    """Say which task runs hold slots of a tag, and which wait for one."""

    method = "GET"
    action_required = Action.READ_LIMITS
    answers = {200: HoldingOut}

    def perform(self, tag: str) -> HoldingOut:
        limit = ConcurrencyLimit.objects.filter(tag=tag).first()
        if limit is None:
            raise ConcurrencyLimitNotFound(tag=tag)
        return holding_out(holding_of_tag(limit.pk, tag, limit.concurrency_limit))


class ReleaseTagSlot(Operation):
    """Take one task run's slot of a tag away; the task goes on without it."""

    method = "POST"
    action_required = Action.CHANGE_LIMITS
    answers = {204: None}

    def perform(self, tag: str, body: SlotRelease) -> None:
        release_slot(tag=tag, task_run_id=body.task_run_id)


class ReleaseFlowRun(Operation):
    """Take a flow run's places by force: its attempt ends, and what its process still sends is refused.

    The run becomes Crashed, or waits for its next crash retry; one that was being cancelled becomes Cancelled.
    """

    method = "POST"
    action_required = Action.CHANGE_RUNS
    answers = {200: ReleasedOut}
    body_optional = True

    def perform(self, id: UUID, body: ForcedRelease) -> ReleasedOut:
        cause = Cause(body.message or "Its places were taken from it by force.", "release")
        state = release_by_force(run_id=id, cause=cause, now=database_now())
        return {"state": state_out(state) if state else None}


class ReadQueueHolders(Operation):
    """Say which runs hold places in a work queue, and which are due and wait for one."""

    method = "GET"
    action_required = Action.READ_QUEUES
    answers = {200: HoldingOut}

    def perform(self, id: UUID) -> HoldingOut:
        queue = WorkQueue.objects.filter(pk=id).first()
        if queue is None:
            raise Missing("Work queue")
        return holding_out(holding_of(queue, database_now()))


def holding_out(holding: Holding) -> HoldingOut:
    return {
        "limit": holding.limit,
        "taken": holding.taken,
        "holders": [holder_out(one) for one in holding.holders],
        "waiters": [holder_out(one) for one in holding.waiters],
    }


def holder_out(holder: Holder) -> HolderOut:
    return {
        "kind": holder.kind,
        "id": holder.id,
        "name": holder.name,
        "state_type": holder.state_type,
        "flow_run_id": holder.flow_run_id,
        "since": holder.since,
        "slots": holder.slots,
        "lease_id": holder.lease_id,
        "until": holder.until,
    }
