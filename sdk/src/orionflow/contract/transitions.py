"""Transitions of task runs on the wire: many steps in one request, and one answer to each.

Programs write the steps and read the answers by hand (`orionflow.reporting.items`), because there are several for each
task; a test holds them to these classes, field by field.
"""

from __future__ import annotations

from typing import Annotated, NotRequired
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from orionflow.contract.kinds import MOST_TRANSITIONS, RunCommand, TransitionStatus
from orionflow.contract.runs import NewTaskRunIn, StateCreate, StateOut
from orionflow.contract.wire import Moment, Natural, StrictWire, Wire


class TransitionItem(StrictWire):
    """One step of one task run: its creation, a state for it, or both."""

    task_run_id: UUID
    task_run: NewTaskRunIn | None = None
    state: StateCreate | None = None
    force: bool = False


class TransitionBatch(Wire):
    """Steps in the order in which they occurred. `sent_at` is the sender's time, to correct for its clock."""

    items: Annotated[list[TransitionItem], Field(max_length=MOST_TRANSITIONS)]
    sent_at: Moment | None = None
    epochs: dict[UUID, Natural] | None = None


class TransitionResult(TypedDict):
    """The outcome of one item. `state` is included if it differs from the proposed one."""

    status: TransitionStatus
    reason: NotRequired[str]
    code: NotRequired[str]
    delay_seconds: NotRequired[int]
    task_run_id: NotRequired[UUID]
    state: NotRequired[StateOut]


class TransitionResults(TypedDict):
    """One result for each item, in order, and orders for the flow runs."""

    results: list[TransitionResult]
    orders: dict[UUID, RunCommand]
