"""A run as the rules see it: the columns that decisions read and bookkeeping writes, without the database."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any, Literal
from uuid import UUID


class Overlap(StrEnum):
    """What happens when a flow run enters RUNNING while another run of the same flow (or deployment) is running."""

    ALLOW = "allow"
    QUEUE = "queue"
    SKIP = "skip"
    CANCEL_NEW = "cancel_new"
    CANCEL_OLD = "cancel_old"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPolicy:
    """What the author of a flow or task asked for, and what the rules remember between transitions (`pause_keys` on).

    Delays are seconds; `retry_delay` is one number or one per retry, and the last one repeats.
    """

    retries: int | None = None
    retry_delay: float | tuple[float, ...] | None = None
    retry_backoff_factor: float | None = None
    retry_delay_max: float | None = None
    retry_jitter_factor: float | None = None
    crash_retries: int = 0
    crash_count: int = 0
    # Starts that agents ended because they could not reach the API: neither failures nor crashes.
    handovers: int = 0
    overlap: Overlap = Overlap.ALLOW
    overlap_scope: Literal["flow", "deployment"] = "flow"
    pause_keys: frozenset[str] = frozenset()
    resuming: bool = False
    retry_type: Literal["in_process", "reschedule"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One flow run or task run before the transition, or (from `settle`) after it."""

    id: UUID
    kind: Literal["flow-run", "task-run"]
    policy: RunPolicy = field(default_factory=RunPolicy)
    run_count: int = 0
    flow_run_run_count: int = 0
    tags: tuple[str, ...] = ()
    flow_run_id: UUID | None = None
    parent_task_run_id: UUID | None = None
    deployment_id: UUID | None = None
    infrastructure_pid: str | None = None
    leased: bool = False
    # A program said that it executes the run itself.
    is_in_a_program: bool = False
    epoch: int = 0
    start_time: datetime | None = None
    end_time: datetime | None = None
    total_run_time: timedelta = timedelta()
    expected_start_time: datetime | None = None
    next_scheduled_start_time: datetime | None = None
    extra: Any = None


_COLUMNS = tuple(column.name for column in fields(Run))
_read = attrgetter(*_COLUMNS)
_writers = tuple(getattr(Run, name).__set__ for name in _COLUMNS)


def revised(run: Run, **changes: Any) -> Run:
    """The run with some columns changed.

    What dataclasses.replace does, at half its price: runs change with every transition, at thousands a second.
    """
    copy = object.__new__(Run)
    for write, value in zip(_writers, _read(run), strict=True):
        write(copy, value)
    for name, value in changes.items():
        object.__setattr__(copy, name, value)
    return copy


def with_policy(run: Run, **changes: Any) -> Run:
    """The run with some of its policy changed."""
    return revised(run, policy=replace(run.policy, **changes))
