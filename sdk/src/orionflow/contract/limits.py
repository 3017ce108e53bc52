"""Limits on the wire: of task runs by tag, of anything by name, and the holders of their slots."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from orionflow.contract.runs import StateOut
from orionflow.contract.wire import (
    OWN,
    Answer,
    Findable,
    Name,
    Natural,
    Seconds,
    Stored,
    StrictWire,
    Text1024,
    Wire,
)

# --- limits on tags -------------------------------------------------------------------------------------------------


class ConcurrencyLimitCreate(StrictWire):
    tag: Annotated[str, Field(min_length=1, max_length=255), Findable]
    concurrency_limit: Natural


class ConcurrencyLimitReset(Wire):
    """The task runs that hold the slots of a tag from now on."""

    slot_override: Annotated[list[UUID], Field(max_length=1000)] | None = None


class SlotRelease(Wire):
    task_run_id: UUID


class ConcurrencyLimit(Stored):
    """A limit with the task runs that hold its slots."""

    tag: str
    concurrency_limit: int
    active_slots: list[UUID] = []


# --- global limits --------------------------------------------------------------------------------------------------


class GlobalLimitCreate(StrictWire):
    name: Name
    limit: Natural
    active: bool = True
    active_slots: Natural = 0
    denied_slots: Natural = 0
    slot_decay_per_second: Seconds = 0


class GlobalLimitUpdate(StrictWire):
    """Changes of a global limit. Only the fields that are sent are changed."""

    name: Name | None = None
    limit: Natural | None = None
    active: bool | None = None
    active_slots: Natural | None = None
    denied_slots: Natural | None = None
    slot_decay_per_second: Seconds | None = None


class GlobalLimit(Stored):
    """A limit and how many of its slots are in use now, with decay taken into account."""

    active: bool = True
    name: str
    limit: int
    active_slots: int = 0
    slot_decay_per_second: float = 0


class CreatedGlobalLimit(GlobalLimit):
    denied_slots: int
    avg_slot_occupancy_seconds: float


# --- slots of global limits -----------------------------------------------------------------------------------------

Slots = Annotated[int, Field(gt=0, lt=2**31)]
LimitNames = Annotated[list[Name], Field(min_length=1, max_length=1000)]
LeaseSeconds = Annotated[float, Field(ge=1, le=86400)]
LeaseIds = Annotated[list[UUID], Field(min_length=1, max_length=1000)]


class SlotHolder(Wire):
    """The attempt of a run that takes slots, if there is one. With an `id` the request may be repeated."""

    id: UUID | None = None
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
    epoch: Natural | None = None


class SlotRequest(Wire):
    """With a `holder` the slots are leased for some seconds, and renewed and released by their leases."""

    slots: Slots
    names: LimitNames
    mode: Literal["concurrency", "rate_limit"] | None = "concurrency"
    holder: SlotHolder | None = None
    seconds: LeaseSeconds = 60


class SlotReturn(Wire):
    slots: Slots
    names: LimitNames
    occupancy_seconds: Annotated[float, Field(gt=0, le=1e9)] | None = None


class LeaseRenewal(Wire):
    lease_ids: LeaseIds
    seconds: LeaseSeconds = 60


class LeaseRelease(Wire):
    lease_ids: LeaseIds


class TakenLimit(Answer):
    """A global limit whose slots were taken, with a lease if there is a holder."""

    id: UUID
    name: str
    limit: int
    lease_id: Annotated[UUID | None, OWN] = None
    expires_at: Annotated[datetime | None, OWN] = None


# --- holders --------------------------------------------------------------------------------------------------------


class Holder(Answer):
    """A run that holds slots or waits for them. `lease_id` and `until` are only set if there is a lease."""

    kind: Literal["flow-run", "task-run"]
    id: UUID
    name: str
    state_type: str | None = None
    flow_run_id: UUID | None = None
    since: datetime | None = None
    slots: int = 1
    lease_id: UUID | None = None
    until: datetime | None = None


class Holding(Answer):
    """The number of slots (null: no limit), how many are taken, by which runs, and which runs wait."""

    limit: int | None = None
    taken: int
    holders: list[Holder] = []
    waiters: list[Holder] = []


class ForcedRelease(Wire):
    message: Text1024 | None = None


class ReleasedRun(Answer):
    """The state of the run after it lost its slots."""

    state: StateOut | None = None
