"""The states of runs as the SDK sees them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class StateType(StrEnum):
    """What a state means to the rules; its name is only for people."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    CANCELLED = "CANCELLED"


@dataclass(slots=True, kw_only=True)
class StateDetails:
    """What the rules read and write beside a state's type."""

    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
    child_flow_run_id: UUID | None = None
    scheduled_time: datetime | None = None
    cache_key: str | None = None
    cache_expiration: datetime | None = None
    untrackable_result: bool = False
    pause_timeout: datetime | None = None
    pause_reschedule: bool = False
    pause_key: str | None = None
    run_input_keyset: dict[str, str] | None = None
    refresh_cache: bool | None = None
    retriable: bool | None = None
    transition_id: UUID | None = None
    task_parameters_id: UUID | None = None


@dataclass(slots=True, kw_only=True)
class State:
    """One state of one run."""

    type: StateType
    name: str = ""
    message: str | None = None
    data: Any = None
    state_details: StateDetails = field(default_factory=StateDetails)
    timestamp: datetime | None = None
    id: UUID | None = None
