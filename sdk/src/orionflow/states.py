"""States of runs as the SDK represents them, a constructor for each that programs create, and access to values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

from orionflow.contract.states import LATE, NO_DETAILS, NOT_READY, TERMINAL, USUAL_NAMES
from orionflow.contract.states import StateDetails as StateDetails
from orionflow.contract.states import StateType as StateType
from orionflow.errors import CancelledRun, CrashedRun, FailedRun, MissingResult, PausedRun, RunEnded, UnfinishedRun

R = TypeVar("R")


NOT_KEPT = (
    "The value of this run was not kept; set persist_result=True on its function to read it from another process."
)


class Unset:
    """The type of `UNSET`, which stands for a missing value, as None is a value."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset()


@dataclass(slots=True, kw_only=True, repr=False)
class State(Generic[R]):
    """One state of one run, as `return_state=True`, `Future.wait` and the API return it.

    ```python
    from orionflow import flow

    @flow
    def fail() -> None:
        raise ValueError("no such table")

    state = fail(return_state=True)
    assert state.is_failed() and state.name == "Failed"
    assert str(state.result(raise_on_failure=False)) == "no such table"
    ```

    - `type`: the kind of state, which rules use, such as `StateType.COMPLETED`. `name`: the text that people read, such
      as `"Cached"` or a text of yours; by default that of the type.
    - `message`: why the run is in this state.
    - `data`: what the API knows about the value: nothing, or a reference to where it is stored.
    - `value`: the value itself, or the exception, in the process that made it. Call `result()` to read it.
    - `state_details`: further facts, such as `scheduled_time`, `cache_key` and the ids of the runs.
    - `timestamp`, `id`: the moment when the run entered the state, and the id of the state.
    """

    type: StateType
    name: str = ""
    message: str | None = None
    data: Any = None
    state_details: StateDetails = NO_DETAILS
    timestamp: datetime | None = None
    id: UUID | None = None
    value: Any = field(default=UNSET, compare=False)

    def __post_init__(self) -> None:
        if not self.name:
            self.name = USUAL_NAMES[self.type]

    def is_scheduled(self) -> bool:
        """Whether the run is planned, late, or waiting for a retry."""
        return self.type is StateType.SCHEDULED

    def is_pending(self) -> bool:
        """Whether the run is about to start."""
        return self.type is StateType.PENDING

    def is_running(self) -> bool:
        """Whether the run is running."""
        return self.type is StateType.RUNNING

    def is_paused(self) -> bool:
        """Whether the run is paused or suspended."""
        return self.type is StateType.PAUSED

    def is_cancelling(self) -> bool:
        """Whether the run is being cancelled."""
        return self.type is StateType.CANCELLING

    def is_completed(self) -> bool:
        """Whether the run completed."""
        return self.type is StateType.COMPLETED

    def is_failed(self) -> bool:
        """Whether the run failed."""
        return self.type is StateType.FAILED

    def is_crashed(self) -> bool:
        """Whether the run's process died or could not be started."""
        return self.type is StateType.CRASHED

    def is_cancelled(self) -> bool:
        """Whether the run was cancelled."""
        return self.type is StateType.CANCELLED

    def is_final(self) -> bool:
        """Whether the run has ended: completed, failed, crashed or cancelled."""
        return self.type in TERMINAL

    def result(self, raise_on_failure: bool = True) -> R:
        """Return the value of the run, from memory or from storage.

        - `raise_on_failure`: with `False`, the exception of a run that did not complete is returned instead of raised.

        Raises the exception of a failed run, or `FailedRun`, `CrashedRun` or `CancelledRun` where it is not available;
        `UnfinishedRun` or `PausedRun` if the run has not ended; and `MissingResult` if the value was not stored.
        """
        if not self.is_final():
            raise self._why_unfinished()
        if self.type is StateType.COMPLETED:
            return cast(R, self._stored_value())
        if raise_on_failure:
            error = exception_of(self)
            try:
                raise error
            finally:
                # The traceback of the error holds this frame; without these references the frame does not hold the
                # error in turn.
                del self, error
        outcome: Any = self._outcome() if self.value is not UNSET or self.data is not None else exception_of(self)
        return cast(R, outcome)

    def store_result(self) -> bool:
        """Store the value of a completed run if its store failed before. Returns `False` if there is nothing to store.

        Raises `StorageFailed` if the store fails again, and `MissingResult` if the value is no longer in this process.
        """
        if not isinstance(self.data, dict) or "unstored" not in self.data:
            return False
        if self.value is UNSET:
            raise MissingResult("The value is not in this process any more, so it cannot be stored again.")
        from orionflow.results.storing_again import store_again

        self.data = store_again(self.data, self.value)
        return True

    def copy(self, **changes: Any) -> State[R]:
        """Return a copy of the state with some fields changed.

        - `changes`: fields and their new values.
        """
        return replace(self, **changes)

    def amend_details(self, **changes: Any) -> None:
        """Change some of the state's details."""
        self.state_details = self.state_details.revised(**changes)

    def without_value(self) -> State[R]:
        """Return the state without its value for the report, which must not keep alive what the program dropped."""
        if self.value is UNSET or self.value is None:
            return self
        return State(
            type=self.type,
            name=self.name,
            message=self.message,
            data=self.data,
            state_details=self.state_details,
            timestamp=self.timestamp,
            id=self.id,
        )

    def _stored_value(self) -> Any:
        if self.value is UNSET and self.data is None:
            raise MissingResult(NOT_KEPT)
        return self._outcome()

    def _outcome(self) -> Any:
        if self.value is not UNSET:
            return self.value
        if not is_record(self.data):
            return self.data
        # Imported here, because storage of results belongs to a layer above this module.
        from orionflow.results import read_record

        try:
            return read_record(self.data)
        except MissingResult:
            if self.type is StateType.COMPLETED:
                raise
            return None

    def _why_unfinished(self) -> BaseException:
        if isinstance(self.value, BaseException):
            return self.value
        if self.is_paused():
            return PausedRun(f"The run is {self.name}; its value comes after it is resumed.")
        return UnfinishedRun(f"The run is {self.name}, so it has no value yet; wait for it to finish.")

    def __repr__(self) -> str:
        message = f"message={self.message!r}, " if self.message else ""
        return f"{self.name}({message}type={self.type.value})"

    def __str__(self) -> str:
        return f"{self.name}({self.message!r})" if self.message else f"{self.name}()"


def is_record(data: Any) -> bool:
    """Whether `data` describes a value instead of being the value."""
    return isinstance(data, dict) and data.get("type") in {"unpersisted", "reference", "literal"}


def exception_of(state: State[Any]) -> BaseException:
    """Return the exception of a run without a value: the run's own if available, otherwise one about how it ended."""
    outcome = state._outcome()
    match outcome:
        case BaseException():
            return outcome
        case State():
            return exception_of(outcome)
        case list() | tuple() | set() | frozenset():
            return _first_exception(outcome, state)
        case str():
            return _ended(state)(outcome)
    return _ended(state)(state.message or f"The run is {state.name}.")


def _first_exception(outcome: Any, state: State[Any]) -> BaseException:
    for inner in outcome:
        if isinstance(inner, State) and inner.type in TERMINAL and not inner.is_completed():
            return exception_of(inner)
    return _ended(state)(state.message or f"The run is {state.name}.")


def _ended(state: State[Any]) -> type[RunEnded]:
    match state.type:
        case StateType.CRASHED:
            return CrashedRun
        case StateType.CANCELLED | StateType.CANCELLING:
            return CancelledRun
    return FailedRun


def Scheduled(scheduled_time: datetime | None = None, *, name: str = "Scheduled", **fields: Any) -> State[Any]:
    """Create a state for a run that starts at a given moment.

    - `scheduled_time`: the moment, with a time zone (default: now).
    - `name`: the name that people read.
    - `fields`: further fields of the `State`, such as `message`.
    """
    details = StateDetails(scheduled_time=scheduled_time or datetime.now(UTC))
    return State(type=StateType.SCHEDULED, name=name, state_details=details, **fields)


def Late(scheduled_time: datetime | None = None, **fields: Any) -> State[Any]:
    """Create a state for a run that did not start at the moment for which it was scheduled.

    - `scheduled_time`: the moment (default: now).
    - `fields`: further fields of the `State`.
    """
    return Scheduled(scheduled_time, name=LATE, **fields)


def AwaitingRetry(scheduled_time: datetime | None = None, **fields: Any) -> State[Any]:
    """Create a state for a run that failed and will be tried again.

    - `scheduled_time`: the moment of the next attempt (default: now).
    - `fields`: further fields of the `State`.
    """
    return Scheduled(scheduled_time, name="AwaitingRetry", **fields)


def Pending(**fields: Any) -> State[Any]:
    """Create a state for a run that is about to start.

    - `fields`: further fields of the `State`, such as `name` and `message`.
    """
    return State(type=StateType.PENDING, **fields)


def NotReady(**fields: Any) -> State[Any]:
    """Create a state for a task run, or a flow called in a flow, that cannot start because an input did not complete.

    - `fields`: further fields of the `State`, such as `name` and `message`.
    """
    return State(type=StateType.PENDING, name=NOT_READY, **fields)


def Running(**fields: Any) -> State[Any]:
    """Create a state for a run that is running.

    - `fields`: further fields of the `State`, such as `name` and `message`.
    """
    return State(type=StateType.RUNNING, **fields)


def Retrying(**fields: Any) -> State[Any]:
    """Create a state for a run that is running again after a failure.

    - `fields`: further fields of the `State`, such as `name` and `message`.
    """
    return State(type=StateType.RUNNING, name="Retrying", **fields)


def Paused(
    *, timeout_seconds: float | None = None, reschedule: bool = False, pause_key: str | None = None, **fields: Any
) -> State[Any]:
    """Create a state for a run that waits for a user to resume it.

    - `timeout_seconds`: after how many seconds it fails if it was not resumed (default: never).
    - `reschedule`: whether its process has ended, so that an agent starts it again.
    - `pause_key`: the name of the pause.
    - `fields`: further fields of the `State`.
    """
    until = None if timeout_seconds is None else datetime.now(UTC) + timedelta(seconds=timeout_seconds)
    details = StateDetails(pause_timeout=until, pause_reschedule=reschedule, pause_key=pause_key)
    return State(type=StateType.PAUSED, state_details=details, **fields)


def Suspended(**fields: Any) -> State[Any]:
    """Create a state for a paused run whose process has ended; when the run is resumed, an agent starts it again.

    - `fields`: the arguments of `Paused`, and further fields of the `State`.
    """
    return Paused(**{"name": "Suspended", "reschedule": True, **fields})


def Cancelling(**fields: Any) -> State[Any]:
    """Create a state for a run that is being cancelled.

    - `fields`: further fields of the `State`, such as `name` and `message`.
    """
    return State(type=StateType.CANCELLING, **fields)


def Completed(**fields: Any) -> State[Any]:
    """Create a state for a run that completed. A flow that returns it ends in it: `return Completed(message="Nothing to
    do")`.

    - `fields`: further fields of the `State`, such as `name`, `message` and `value`.
    """
    return State(type=StateType.COMPLETED, **fields)


def Failed(**fields: Any) -> State[Any]:
    """Create a state for a run that failed. A flow that returns it ends in it: `return Failed(message="3 of 9
    loaded")`.

    - `fields`: further fields of the `State`, such as `name`, `message` and `value`.
    """
    return State(type=StateType.FAILED, **fields)


def Crashed(**fields: Any) -> State[Any]:
    """Create a state for a run whose process died or could not be started.

    - `fields`: further fields of the `State`, such as `name` and `message`.
    """
    return State(type=StateType.CRASHED, **fields)


def Cancelled(**fields: Any) -> State[Any]:
    """Create a state for a run that was cancelled.

    - `fields`: further fields of the `State`, such as `name` and `message`.
    """
    return State(type=StateType.CANCELLED, **fields)
