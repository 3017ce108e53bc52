"""The usual end of a submitted run, in little memory: it completed, and the flow may keep its future.

A flow keeps the futures of a hundred thousand runs. The garbage collector visits each object that may refer to others
again and again, so a future refers to a tuple of numbers and moments, which it visits once, in place of a state with
its details and ids.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from orionflow.contract.states import NO_DETAILS, USUAL_NAMES, StateDetails, StateType
from orionflow.results import UNPERSISTED
from orionflow.states import UNSET, State

# The value, whether it is marked as not stored, the time and id of the state, the id of the flow run, and whether the
# value cannot be tracked.
Usual = tuple[Any, bool, datetime, int, int, bool]
# The details of most final states, created once.
UNTRACKABLE = NO_DETAILS.revised(untrackable_result=True)


def is_usual(state: State[Any]) -> bool:
    """Whether a final state without the ids of its runs says no more than that the run completed with a value."""
    return (
        state.type is StateType.COMPLETED
        and (state.state_details is NO_DETAILS or state.state_details is UNTRACKABLE)
        and state.value is not UNSET
        and (state.data is UNPERSISTED or state.data is None)
        and state.message is None
        and state.name == USUAL_NAMES[StateType.COMPLETED]
    )


def as_usual(state: State[Any], flow_run_id: UUID) -> Usual:
    assert state.timestamp is not None
    assert state.id is not None
    untrackable = state.state_details is UNTRACKABLE
    return (state.value, state.data is not None, state.timestamp, state.id.int, flow_run_id.int, untrackable)


def as_state(usual: Usual, task_run_id: int) -> State[Any]:
    value, is_marked, timestamp, id, flow_run_id, untrackable = usual
    details = StateDetails(
        flow_run_id=UUID(int=flow_run_id), task_run_id=UUID(int=task_run_id), untrackable_result=untrackable
    )
    return State(
        type=StateType.COMPLETED,
        value=value,
        data=UNPERSISTED if is_marked else None,
        timestamp=timestamp,
        id=UUID(int=id),
        state_details=details,
    )
