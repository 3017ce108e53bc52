"""Many transitions of task runs at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from orchestration.core.states import State
from orchestration.errors import DomainError
from orchestration.services import Outcome
from orchestration.stored import NewTaskRun

__all__ = ["BatchOutcome", "ItemOutcome", "NewTaskRun", "TaskRunTransition", "apply_task_run_transitions"]


@dataclass(frozen=True, slots=True)
class TaskRunTransition:
    """One item of a batch: a task run to make, a state to propose for it, or both."""

    task_run_id: UUID
    create: NewTaskRun | None
    proposed: State | None
    force: bool = False


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """What one item came to. `task_run_id` is the stored run's, another one when that call of the task was known."""

    task_run_id: UUID
    outcome: Outcome | None
    error: DomainError | None
    created: bool


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """The outcomes in the order of the items, and what the flow runs shall do: cancel, pause, or know they are lost."""

    items: tuple[ItemOutcome, ...]
    orders: dict[UUID, str]


def apply_task_run_transitions(
    *,
    items: Sequence[TaskRunTransition],
    now: datetime,
    sent_at: datetime | None,
    epochs: Mapping[UUID, int] | None = None,
) -> BatchOutcome:
    """Apply the items in their order, each by the same rules as if it came alone, in one transaction."""
    raise NotImplementedError
