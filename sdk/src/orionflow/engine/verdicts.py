"""Follows the answer of the rules to a proposed state: wait and ask again, continue from another state, or end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from orionflow.context import FlowRunContext
from orionflow.engine.commands import checkpoint, leave_to_another, wait_until_resumed
from orionflow.engine.effects import Sleep, Steps
from orionflow.engine.waiting_lines import Turn, waiting_lines
from orionflow.errors import OrchestrationRefused
from orionflow.reporting.items import ABORT, ACCEPT, ERROR, REJECT, WAIT, Answer
from orionflow.states import State
from orionflow.wire import OrchestrationResult

# Used if a rule keeps a run in its state and does not say for how long.
DEFAULT_WAIT_SECONDS = 1.0


def answer_of(result: OrchestrationResult) -> Answer:
    """Convert the verdict on a flow run's state to the form of verdicts on task runs."""
    return Answer(result.status, result.details.reason, result.details.delay_seconds, result.state)


def seconds_until_due(state: State[Any]) -> float:
    """Return the seconds until a scheduled state is due; zero if it is due."""
    due = state.state_details.scheduled_time
    if due is None:
        return 0.0
    # By the server's clock if the state has a timestamp, as the clock of this machine may differ.
    return max((due - (state.timestamp or datetime.now(UTC))).total_seconds(), 0.0)


def enter_running(
    propose: Callable[[], Steps[tuple[State[Any], Answer]]],
    flow_run: FlowRunContext | None,
    wants: frozenset[str] = frozenset(),
) -> Steps[State[Any]]:
    """Propose RUNNING until the rules accept it or give the run another final state.

    Return the RUNNING state, the final state that the rules gave the run instead, or CANCELLING, from which a run can
    only end. Raise OrchestrationRefused if the rules abort. `flow_run` is the context whose commands are followed
    meanwhile, if there is one; `wants` names the limits whose slots may all be taken.
    """
    turn: Turn | None = None
    try:
        while True:
            proposed, answer = yield from propose()
            state = answer.state
            match answer.status:
                case "ACCEPT":
                    return _as_recorded(proposed, state)
                case "WAIT" if wants:
                    turn = turn or waiting_lines().join(wants)
                    yield turn.wait(answer.delay_seconds or DEFAULT_WAIT_SECONDS)
                case "WAIT":
                    yield Sleep(answer.delay_seconds or DEFAULT_WAIT_SECONDS)
                case "REJECT" if state is not None:
                    if state.is_final() or state.is_cancelling():
                        return state
                    if state.is_paused() and flow_run is not None:
                        yield from wait_until_resumed(flow_run)
                    else:
                        yield Sleep(seconds_until_due(state) if state.is_scheduled() else DEFAULT_WAIT_SECONDS)
                case _:
                    # An abort may only mean that the flow run was cancelled, or left to another attempt.
                    if flow_run is not None:
                        checkpoint(flow_run)
                        yield from leave_to_another(flow_run)
                    raise OrchestrationRefused(f"The run may not begin: {answer.reason or answer.status}.")
            if flow_run is not None:
                checkpoint(flow_run)
    finally:
        if turn is not None:
            waiting_lines().leave(turn)


def state_after_end(proposed: State[Any], answer: Answer) -> State[Any]:
    """Return the state of a run whose end was proposed: this end, another one, or a wait for the next attempt."""
    state = answer.state
    if answer.status == ACCEPT:
        return _as_recorded(proposed, state)
    if answer.status == REJECT and state is not None:
        # The value is available even if the rules only keep a state that is already known.
        if state.type is proposed.type and state.is_final():
            state.value = proposed.value
        return state
    if answer.status in (ABORT, WAIT, ERROR):
        raise OrchestrationRefused(f"The run may not end as {proposed.name}: {answer.reason or answer.status}.")
    return proposed


def _as_recorded(proposed: State[Any], answered: State[Any] | None) -> State[Any]:
    """Take name, time and details from the API's answer; keep value and data as they were proposed."""
    if answered is None:
        return proposed
    answered.value = proposed.value
    answered.data = proposed.data if answered.data is None else answered.data
    return answered
