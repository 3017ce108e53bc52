"""The vocabulary of orchestration: state types, states, and a constructor for each state that Orion itself writes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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


TERMINAL = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED})
ANY = frozenset(StateType)
UNFINISHED = ANY - TERMINAL
# A run in one of these holds a place in its work queue, its pool and its deployment.
HOLDING = frozenset({StateType.PENDING, StateType.RUNNING, StateType.CANCELLING})


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDetails:
    """What the rules read and write beside a state's type; every field is part of the wire format."""

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


NO_DETAILS = StateDetails()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state of one run. `data` is a reference to a result or any JSON; Orion reads nothing but its `type`."""

    type: StateType
    name: str = ""
    message: str | None = None
    data: Any = None
    details: StateDetails = field(default=NO_DETAILS)
    timestamp: datetime | None = None
    id: UUID | None = None

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.type.value.title())

    @property
    def is_terminal(self) -> bool:
        return self.type in TERMINAL

    @property
    def has_stored_data(self) -> bool:
        """Whether the outcome of this state can be read again; `unpersisted` marks data that was echoed and dropped."""
        return self.data is not None and not is_unpersisted(self.data)

    def with_details(self, **changes: Any) -> State:
        """The same state with some of its details changed."""
        return replace(self, details=replace(self.details, **changes))


def is_unpersisted(data: Any) -> bool:
    return isinstance(data, dict) and data.get("type") == "unpersisted"


def scheduled(at: datetime, *, name: str = "Scheduled", message: str | None = None, data: Any = None) -> State:
    details = StateDetails(scheduled_time=at)
    return State(type=StateType.SCHEDULED, name=name, message=message, data=data, details=details)


def awaiting_retry(at: datetime, *, message: str | None = None, data: Any = None) -> State:
    return scheduled(at, name="AwaitingRetry", message=message, data=data)


def resuming(at: datetime) -> State:
    return scheduled(at, name="Resuming")


def late(at: datetime, *, message: str | None = None) -> State:
    return scheduled(at, name="Late", message=message)


def running(*, name: str = "Running") -> State:
    return State(type=StateType.RUNNING, name=name)


def cancelled(message: str | None = None) -> State:
    return State(type=StateType.CANCELLED, message=message)


def cancelling(message: str | None = None) -> State:
    return State(type=StateType.CANCELLING, message=message)


def failed(message: str | None = None, *, name: str = "Failed") -> State:
    return State(type=StateType.FAILED, name=name, message=message)


def crashed(message: str | None = None) -> State:
    return State(type=StateType.CRASHED, message=message)


def skipped(message: str | None = None) -> State:
    return State(type=StateType.COMPLETED, name="Skipped", message=message)
