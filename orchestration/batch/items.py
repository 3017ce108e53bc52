"""What goes into a batch and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from orchestration.core.states import State
from orchestration.errors import DomainError
from orchestration.services import Outcome
from orchestration.stored import NewTaskRun


@dataclass(frozen=True, slots=True)
class TaskRunTransition:
    """One item: a task run to make, a state to propose for it, or both. The state carries its client's id and time."""

    task_run_id: UUID
    create: NewTaskRun | None
    proposed: State | None
    force: bool = False


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """What one item came to. `task_run_id` is the stored run's: another one when that call of the task was known."""

    task_run_id: UUID
    outcome: Outcome | None
    error: DomainError | None
    created: bool


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """The outcomes in the order of the items, and what the flow runs shall do: "cancel", "pause", or "lost"."""

    items: tuple[ItemOutcome, ...]
    orders: dict[UUID, str]
