"""States on the wire: how a proposed state is read, and how stored states and verdicts are written."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework.response import Response

from orchestration.core.states import NO_DETAILS, State, is_unpersisted
from orchestration.core.verdicts import Abort, Accept, Reject, Wait
from orchestration.proposals import Outcome
from orionflow.contract.runs import StateCreate, StateOut
from orionflow.contract.states import MOMENTS

# Characters. Every list of runs or states contains the messages.
LONGEST_MESSAGE = 128 * 1024


_EMPTY_DETAILS = NO_DETAILS.as_dict()


def with_offset(moment: str | None) -> str | None:
    """Return a moment from stored JSON in the format of answers."""
    return f"{moment[:-1]}+00:00" if moment and moment.endswith("Z") else moment


def proposed_state(sent: StateCreate, *, keep_identity: bool) -> State:
    """Return the state for the rules. Only batches, and clients that ask for it, keep their own id and timestamp."""
    return State(
        type=sent.type,
        name=sent.name or "",
        message=None if sent.message is None else _bounded(sent.message),
        data=sent.data,
        details=sent.state_details or NO_DETAILS,
        timestamp=sent.timestamp if keep_identity else None,
        id=sent.id if keep_identity else None,
    )


def _bounded(message: str) -> str:
    if len(message) <= LONGEST_MESSAGE:
        return message
    return f"{message[:LONGEST_MESSAGE]}… [cut: {len(message)} characters, of which {LONGEST_MESSAGE} are kept]"


def state_out(state: State) -> StateOut:
    """Return a state of the rules in the format of answers."""
    assert state.id is not None
    assert state.timestamp is not None
    return {
        "id": state.id,
        "type": state.type,
        "name": state.name,
        "timestamp": state.timestamp,
        "message": state.message,
        "data": state.data,
        "state_details": state.details.as_dict(),
    }


def written_state_out(state: State) -> StateOut:
    """Return the state as it reads after it is stored: data that is not persisted is left out."""
    shown = state_out(state)
    return {**shown, "data": None} if is_unpersisted(state.data) else shown


def stored_state_out(row: Any, *, flow_run_id: UUID | None, task_run_id: UUID | None) -> StateOut:
    """Return a state from its row. The ids of its run follow from the row's own keys."""
    details: dict[str, Any] = {**_EMPTY_DETAILS, **row.details, "flow_run_id": flow_run_id, "task_run_id": task_run_id}
    for name in row.details.keys() & MOMENTS:
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
    """Return a response: 201 if this proposal wrote a state, 200 if the run kept the one that it had."""
    status, details = verdict_out(outcome.verdict)
    content: dict[str, Any] = {
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
