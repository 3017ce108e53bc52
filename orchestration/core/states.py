"""A state as the rules judge it, and constructors for those that Orion itself writes. The contract has the types."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from orionflow.contract.states import ANY as ANY
from orionflow.contract.states import HOLDING as HOLDING
from orionflow.contract.states import LATE, SKIPPED, USUAL_NAMES
from orionflow.contract.states import NO_DETAILS as NO_DETAILS
from orionflow.contract.states import TERMINAL as TERMINAL
from orionflow.contract.states import UNFINISHED as UNFINISHED
from orionflow.contract.states import StateDetails as StateDetails
from orionflow.contract.states import StateType as StateType


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state of one run. `data` is a reference to a result or any JSON; Orion reads only its `type`."""

    type: StateType
    name: str = ""
    message: str | None = None
    data: Any = None
    details: StateDetails = field(default=NO_DETAILS)
    timestamp: datetime | None = None
    id: UUID | None = None

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", USUAL_NAMES[self.type])

    @property
    def is_terminal(self) -> bool:
        return self.type in TERMINAL

    @property
    def has_stored_data(self) -> bool:
        """Whether the value of this state can be read again. Data marked `unpersisted` was echoed and dropped."""
        return self.data is not None and not is_unpersisted(self.data) and not is_unstored(self.data)

    def with_details(self, **changes: Any) -> State:
        """Return a copy with some of its details changed."""
        return replace(self, details=self.details.revised(**changes))


def is_unpersisted(data: Any) -> bool:
    return isinstance(data, dict) and data.get("type") == "unpersisted"


def is_unstored(data: Any) -> bool:
    """Whether this refers to a value that could not be written to its store. It may have been written later, or not."""
    return isinstance(data, dict) and "unstored" in data and data.get("type") == "reference"


def scheduled(at: datetime, *, name: str = "Scheduled", message: str | None = None, data: Any = None) -> State:
    details = StateDetails(scheduled_time=at)
    return State(type=StateType.SCHEDULED, name=name, message=message, data=data, details=details)


def awaiting_retry(at: datetime, *, message: str | None = None, data: Any = None) -> State:
    return scheduled(at, name="AwaitingRetry", message=message, data=data)


def resuming(at: datetime) -> State:
    return scheduled(at, name="Resuming")


def late(at: datetime, *, message: str | None = None) -> State:
    return scheduled(at, name=LATE, message=message)


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
    return State(type=StateType.COMPLETED, name=SKIPPED, message=message)
