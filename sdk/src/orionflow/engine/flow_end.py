"""The end of a flow run: store its value, and propose its final state or keep it in the spool while the API is away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from orionflow.calls.flow_runs import set_flow_run_state
from orionflow.contract.ids import uuid7
from orionflow.engine.active_flow_run import ActiveFlowRun
from orionflow.engine.effects import Do, Steps, send
from orionflow.engine.final_state import fail_for_want_of_storage, keep_unstored
from orionflow.engine.hooks import call_hooks
from orionflow.engine.kept_ends import last_state
from orionflow.engine.reuse import marks_of
from orionflow.engine.verdicts import answer_of, state_after_end
from orionflow.engine.waiting_lines import waiting_lines
from orionflow.errors import ApiError, ApiUnreachable, DatabaseNotReady
from orionflow.flows import Flow
from orionflow.reporting.items import ACCEPT, Answer
from orionflow.results import expiring_in, store_of, write_result
from orionflow.serializers import serializer_of
from orionflow.settings import current_settings
from orionflow.states import UNSET, Cancelled, State, StateType

AWAY = (ApiUnreachable, DatabaseNotReady)


def line_names(flow: Flow[Any, Any]) -> frozenset[str]:
    """Return the name of the line in which runs of a flow wait if they may not overlap."""
    return frozenset() if flow.overlap == "allow" else frozenset({f"flow {flow.name}"})


def propose(active: ActiveFlowRun, state: State[Any]) -> Steps[tuple[State[Any], Answer]]:
    """Propose a state, with a new id, and return it with the verdict, in the form of verdicts on task runs."""
    begin_proposal(active, state)
    try:
        answer = answer_of((yield send(active.api.client, set_flow_run_state(active.id, state))))
    except Exception as error:
        if not isinstance(error, AWAY):
            # It was refused or could not be sent, and would be again.
            active.proposed_end = None
        raise
    now = answer.state or (state if answer.status == ACCEPT else None)
    active.has_reported_end = now is not None and now.is_final()
    active.proposed_end = None
    return state, answer


def begin_proposal(active: ActiveFlowRun, state: State[Any]) -> None:
    """Give a state that will be proposed its id, and note a final one, so that other threads repeat that proposal."""
    if state is not active.proposed_end:
        # By this id, the API answers a repeated request like the first one.
        state.id = uuid7()
    # The rules may answer a failure with a retry, and then the run still needs an end.
    has_retries = active.flow.retries > 0 or bool(active.flow_run.empirical_policy.get("retries"))
    may_go_on = state.is_failed() and has_retries
    active.proposed_end = state if state.is_final() and not may_go_on else None


Propose = Callable[[ActiveFlowRun, State[Any]], Steps[tuple[State[Any], Answer]]]


def propose_end(active: ActiveFlowRun, ended: State[Any], propose: Propose = propose) -> Steps[State[Any]]:
    """Propose the final state of an attempt. Return the state that the rules gave the run."""
    if active.has_reported_end:
        # The run around it waited no longer, and has kept an end for it.
        return ended
    proposed, answer = yield from propose(active, ended)
    if answer.state is not None and answer.state.is_cancelling():
        # The run was cancelled while it was ending: the rules accept only CANCELLED now.
        proposed, answer = yield from propose(active, Cancelled(message="The flow run was cancelled."))
    waiting_lines().make_room(line_names(active.flow))
    return state_after_end(proposed, answer)


def keep_end(active: ActiveFlowRun, ended: State[Any], at: datetime, seconds: float) -> Steps[State[Any]]:
    """Keep the final state, and wait for these seconds until it is delivered: the process may be killed at any moment.

    Return the state that the rules gave the run, or this one if there is no answer.
    """

    def propose_kept(active: ActiveFlowRun, state: State[Any]) -> Steps[tuple[State[Any], Answer]]:
        begin_proposal(active, state)
        call = set_flow_run_state(active.id, last_state(state, at))
        active.has_reported_end = True
        return state, (yield Do(active.api.reporter.keep_and_ask, call, active.id, seconds))

    try:
        return (yield from propose_end(active, ended, propose_kept))
    except AWAY as away:
        _log_late_report(active, ended, away)
        return ended


def end_without_api(active: ActiveFlowRun, ended: State[Any], at: datetime, away: ApiError) -> State[Any]:
    """Write the final state to the spool after the earlier records: the work is done and must not be lost."""
    if not active.has_reported_end:
        call = set_flow_run_state(active.id, last_state(ended, at))
        active.has_reported_end = True
        active.api.reporter.keep(call, active.id)
        _log_late_report(active, ended, away)
    return ended


def _log_late_report(active: ActiveFlowRun, ended: State[Any], away: ApiError) -> None:
    active.logger.error("The end of the run as %s will be reported later (ApiUnreachable). %s", ended.name, away)


def store_value(active: ActiveFlowRun, state: State[Any]) -> Steps[None]:
    """Store the value of a completed state, if the flow, its parent or the settings require that."""
    flow, parent = active.flow, active.parent
    by_parent = parent is not None and parent.keeps_results
    by_default = parent.persists_by_default if parent else current_settings().results_persist_by_default
    # A state without a value here may name a stored value, set by the program.
    if state.value is UNSET or not flow.stores_results(wanted_by_parent=by_parent, by_default=by_default):
        return
    try:
        state.data = yield Do(_write, active, state.value)
    except Exception as error:
        if flow.persist_result:
            active.unstored = fail_for_want_of_storage(state, error)
        else:
            keep_unstored(state, error, active.parent)
        return
    if not flow.cache_result_in_memory:
        state.value = UNSET


def _write(active: ActiveFlowRun, value: Any) -> dict[str, Any]:
    flow = active.flow
    return write_result(
        value,
        run_id=active.id,
        store=store_of(flow.result_storage),
        serializer=None if flow.result_serializer is None else serializer_of(flow.result_serializer),
        **expiring_in(flow.result_expiration),
        **marks_of(active.compared),
    )


def finish(active: ActiveFlowRun, state: State[Any]) -> Steps[None]:
    """Log the final state, call the user's hooks for it, and let the reporter forget the run."""
    flow = active.flow
    hooks = {
        StateType.COMPLETED: flow.on_completion,
        StateType.FAILED: flow.on_failure,
        StateType.CANCELLED: flow.on_cancellation,
        StateType.CRASHED: flow.on_crashed,
    }
    level = logging.INFO if state.is_completed() or state.is_paused() else logging.ERROR
    active.logger.log(level, "Ended as %s.", state)
    yield from call_hooks(hooks.get(state.type, ()), flow, active.flow_run, state, active.logger)
    active.api.reporter.forget(active.id)
