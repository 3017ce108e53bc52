"""The final state of a run, derived from the outcome of the user's function."""

from __future__ import annotations

import traceback
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from orionflow.contract.states import NO_DETAILS, USUAL_NAMES
from orionflow.engine.state_counts import StateCounts
from orionflow.errors import StorageFailed, UnserializableError
from orionflow.futures import Future
from orionflow.recordable import (
    LARGEST_DATA,
    LONGEST_MESSAGE,
    LONGEST_NAME,
    as_text,
    clean_text,
    recordable_json,
    short_text,
)
from orionflow.states import UNSET, Completed, Failed, State, StateType, is_record
from orionflow.values.traversal import visit

if TYPE_CHECKING:
    from orionflow.context import FlowRunContext


def state_of_value(value: Any) -> State[Any]:
    """Return the final state for a returned value.

    A state that the program created is used as it is. One or several states of runs are combined: cancelled, paused or
    failed if any of them is. Everything else is a value, and the run completed with it.
    """
    if isinstance(value, State) and not _belongs_to_a_run(value):
        return _made_by_hand(value)
    states = _as_states(value)
    if states is None:
        return Completed(value=list(value) if isinstance(value, GeneratorType) else value)
    kind, message = StateCounts(states).verdict()
    return State(type=kind, message=message, value=value)


def state_of_nothing(tally: StateCounts) -> State[Any]:
    """Return the final state of a flow that returned None, combined from the task runs and subflow runs in it."""
    if tally.total == 0:
        return Completed(value=None)
    kind, message = tally.verdict()
    not_completed = tally.not_completed
    return State(type=kind, message=message, value=not_completed or None)


def with_states_for_futures(value: Any) -> Any:
    """Return `value` with every future in it replaced by its final state; the runs must have ended."""
    return visit(value, lambda part: part.final_state if isinstance(part, Future) else part)


def futures_in(value: Any) -> list[Future[Any]]:
    found: list[Future[Any]] = []

    def look(part: Any) -> Any:
        if isinstance(part, Future):
            found.append(part)
        return part

    visit(value, look)
    return found


def _belongs_to_a_run(state: State[Any]) -> bool:
    details = state.state_details
    return details.flow_run_id is not None or details.task_run_id is not None


def _made_by_hand(state: State[Any]) -> State[Any]:
    """Return a copy of a state that the program created, with the value in `value` even if it was put in `data`."""
    if is_record(state.data):
        data = recordable_json(state.data, LARGEST_DATA)
        if data.change is None:
            return state.copy(**_recorded(state))
    return state.copy(**_recorded(state), data=None, value=state.data if state.value is UNSET else state.value)


def _recorded(state: State[Any]) -> dict[str, Any]:
    """Return the recorded fields of a state that the user created, in the form that the API accepts."""
    return {
        "type": StateType(state.type),
        "name": short_text(state.name, LONGEST_NAME),
        "message": None if state.message is None else clean_text(as_text(state.message), LONGEST_MESSAGE),
        "id": None,
        "timestamp": None,
        "state_details": NO_DETAILS,
    }


def _as_states(value: Any) -> list[State[Any]] | None:
    if isinstance(value, State):
        return [value]
    if not isinstance(value, list | tuple | set | frozenset):
        return None
    try:
        return list(value) if value and all(isinstance(one, State) for one in value) else None
    except Exception:
        # A user's collection that cannot be iterated over is a value like any other.
        return None


def state_of_exception(error: BaseException, kind: str) -> State[Any]:
    """Return the final state of a run whose function raised; `kind` is "flow" or "task"."""
    return Failed(message=f"The {kind} raised {describe(error)}", value=error)


def fail_for_want_of_storage(state: State[Any], error: Exception) -> State[Any]:
    """Turn a completed state into a failed one because its value could not be stored.

    Returns the completed state, which the next attempt only has to store.
    """
    completed = state.copy(state_details=NO_DETAILS)
    state.type, state.name = StateType.FAILED, USUAL_NAMES[StateType.FAILED]
    state.message, state.value = f"The result could not be stored: {as_text(error)}", error
    if isinstance(error, UnserializableError):
        # Another attempt would fail in the same way.
        state.amend_details(retriable=False)
    return completed


def keep_unstored(state: State[Any], error: Exception, flow_run: FlowRunContext | None) -> None:
    """Let a completed state say why its value is not stored, and let the flow run try again when it ends."""
    state.message = f"The result was not stored: {as_text(error)}"
    if isinstance(error, StorageFailed):
        state.data = error.reference
        if flow_run is not None:
            state.message += " It is tried again when the flow run ends."
            flow_run.keep_unstored(error)


def describe(error: BaseException) -> str:
    """Return the exception in one line: `ValueError: boom`."""
    try:
        return "".join(traceback.format_exception_only(error)).strip()
    except Exception:
        return type(error).__name__


def timed_out(kind: str, seconds: float, error: Exception) -> State[Any]:
    return Failed(name="TimedOut", message=f"The {kind} ran longer than its limit of {seconds:g} s.", value=error)
