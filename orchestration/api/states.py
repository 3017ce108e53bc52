"""States on the wire: what a proposal may say, and how a stored state and a verdict are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field
from rest_framework.response import Response
from typing_extensions import TypedDict

from orchestration.core import states
from orchestration.core.states import State, StateType, is_unpersisted
from orchestration.core.verdicts import Abort, Accept, Reject, Wait
from orchestration.services import Outcome
from orchestration.wire import JSON, Moment, StrictWire, Text255, Wire

# Each list of runs and of states has them all.
LONGEST_MESSAGE = 128 * 1024


class StateDetailsIn(Wire):
    """What a proposal says beside its type. Fields that are not known are ignored, as newer clients send more."""

    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None
    child_flow_run_id: UUID | None = None
    scheduled_time: Moment | None = None
    cache_key: Annotated[str, Field(max_length=2000)] | None = None
    cache_expiration: Moment | None = None
    untrackable_result: bool = False
    pause_timeout: Moment | None = None
    pause_reschedule: bool = False
    pause_key: str | None = None
    run_input_keyset: dict[str, str] | None = None
    refresh_cache: bool | None = None
    retriable: bool | None = None
    transition_id: UUID | None = None
    task_parameters_id: UUID | None = None


class StateCreate(StrictWire):
    """A state that a client proposes. The server's clock stamps it, except in a batch."""

    type: StateType
    name: Text255 | None = None
    message: str | None = None
    data: JSON = None
    state_details: StateDetailsIn | None = None
    timestamp: Moment | None = None
    id: UUID | None = None


class StateDetailsOut(TypedDict):
    """All fields, always."""

    flow_run_id: UUID | None
    task_run_id: UUID | None
    child_flow_run_id: UUID | None
    scheduled_time: datetime | None
    cache_key: str | None
    cache_expiration: datetime | None
    untrackable_result: bool
    pause_timeout: datetime | None
    pause_reschedule: bool
    pause_key: str | None
    run_input_keyset: dict[str, str] | None
    refresh_cache: bool | None
    retriable: bool | None
    transition_id: UUID | None
    task_parameters_id: UUID | None


class StateOut(TypedDict):
    """One state of one run."""

    id: UUID
    type: StateType
    name: str
    timestamp: datetime
    message: str | None
    data: Any
    state_details: StateDetailsOut


class AcceptDetails(TypedDict):
    type: Literal["accept_details"]


class RejectDetails(TypedDict):
    type: Literal["reject_details"]
    reason: str | None


class WaitDetails(TypedDict):
    type: Literal["wait_details"]
    delay_seconds: int
    reason: str | None


class AbortDetails(TypedDict):
    type: Literal["abort_details"]
    reason: str | None


class OrchestrationResult(TypedDict):
    """The verdict on one proposal, and the run's state after it."""

    status: Literal["ACCEPT", "REJECT", "WAIT", "ABORT"]
    details: AcceptDetails | RejectDetails | WaitDetails | AbortDetails
    state: StateOut | None


DETAIL_FIELDS = tuple(field.name for field in fields(states.StateDetails))
NO_DETAILS: Mapping[str, Any] = {field.name: field.default for field in fields(states.StateDetails)}


_MOMENTS = frozenset({"scheduled_time", "cache_expiration", "pause_timeout"})


def with_offset(moment: str | None) -> str | None:
    """A moment out of stored JSON as answers spell it."""
    return f"{moment[:-1]}+00:00" if moment and moment.endswith("Z") else moment


def proposed_state(sent: StateCreate, *, keep_identity: bool) -> State:
    """The state as the rules take it. Only writers of a batch, and those who say so, keep their own id and clock."""
    return State(
        type=sent.type,
        name=sent.name or "",
        message=None if sent.message is None else _bounded(sent.message),
        data=sent.data,
        details=_details(sent.state_details),
        timestamp=sent.timestamp if keep_identity else None,
        id=sent.id if keep_identity else None,
    )


def _bounded(message: str) -> str:
    if len(message) <= LONGEST_MESSAGE:
        return message
    return f"{message[:LONGEST_MESSAGE]}… [cut: {len(message)} characters, of which {LONGEST_MESSAGE} are kept]"


def _details(sent: StateDetailsIn | None) -> states.StateDetails:
    if sent is None or not sent.model_fields_set:
        return states.NO_DETAILS
    # Pydantic keeps the fields in a dictionary under their own names, validated; extras are not among them.
    return states.StateDetails(**sent.__dict__)


def state_out(state: State) -> StateOut:
    """A state from the rules' hands."""
    assert state.id is not None
    assert state.timestamp is not None
    details: Any = {name: getattr(state.details, name) for name in DETAIL_FIELDS}
    return {
        "id": state.id,
        "type": state.type,
        "name": state.name,
        "timestamp": state.timestamp,
        "message": state.message,
        "data": state.data,
        "state_details": details,
    }


def written_state_out(state: State) -> StateOut:
    """The same as it reads once it is stored: data that is not kept is left out."""
    told = state_out(state)
    return {**told, "data": None} if is_unpersisted(state.data) else told


def stored_state_out(row: Any, *, flow_run_id: UUID | None, task_run_id: UUID | None) -> StateOut:
    """A state from its row; whose it is follows from where the row hangs."""
    details: Any = {**NO_DETAILS, **row.details, "flow_run_id": flow_run_id, "task_run_id": task_run_id}
    for name in row.details.keys() & _MOMENTS:
        details[name] = with_offset(details[name])
    return {
        "id": row.id,
        "type": row.type,
        "name": row.name,
        "timestamp": row.timestamp,
        "message": row.message,
        "data": row.data,
        "state_details": details,
    }


def result_of(outcome: Outcome) -> Response:
    """201 when this proposal wrote a state, 200 when the run kept the one it had."""
    status, details = verdict_out(outcome.verdict)
    content: OrchestrationResult = {
        "status": status,
        "details": details,
        "state": state_out(outcome.state) if outcome.state else None,
    }
    return Response(content, status=201 if outcome.written else 200)


def verdict_out(verdict: Accept | Reject | Wait | Abort) -> tuple[Any, Any]:
    match verdict:
        case Accept():
            return "ACCEPT", {"type": "accept_details"}
        case Reject():
            return "REJECT", {"type": "reject_details", "reason": verdict.reason}
        case Wait():
            return "WAIT", {"type": "wait_details", "delay_seconds": verdict.seconds, "reason": verdict.reason}
        case Abort():
            return "ABORT", {"type": "abort_details", "reason": verdict.reason}
