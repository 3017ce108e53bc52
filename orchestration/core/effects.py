"""Effects of a decision besides the state itself: values that `orchestration.effects` writes with the state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from orchestration.core.states import State


@dataclass(frozen=True, slots=True)
class TakeSlots:
    """Take one slot of the limit on each of these tags (sorted) for the run that makes the transition."""

    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReleaseSlots:
    """Release every slot that the run holds."""


@dataclass(frozen=True, slots=True)
class EndLease:
    """End the lease of the agent that executes the run: its attempt is over."""


@dataclass(frozen=True, slots=True)
class RememberResult:
    """Let later task runs with this cache key reuse the state that is being written."""

    cache_key: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class ExpireCaches:
    """Delete the cache entries of the run's earlier states."""


@dataclass(frozen=True, slots=True)
class MirrorToParentTask:
    """Force the parent task run of a nested flow into a copy of the state that is being written."""

    parent_task_run_id: UUID


@dataclass(frozen=True, slots=True)
class CancelRuns:
    """Propose this state for other flow runs, through the rules."""

    flow_run_ids: tuple[UUID, ...]
    proposed: State


Effect = TakeSlots | ReleaseSlots | EndLease | RememberResult | ExpireCaches | MirrorToParentTask | CancelRuns
