"""The life of a flow run: create, get admitted by the rules, run, report, end, and repeat while retries are left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any

from orionflow import tracing
from orionflow.calls.flow_runs import set_flow_run_state
from orionflow.client import OrionClient
from orionflow.client.transport import Patience
from orionflow.context import FlowRunContext
from orionflow.contract.states import BAD
from orionflow.engine.active_flow_run import ActiveFlowRun
from orionflow.engine.api import current_api
from orionflow.engine.children import end_children, refuse_late, roots_in_threads
from orionflow.engine.commands import (
    PauseRanOut,
    RunSuspended,
    RunTakenOver,
    StepRefused,
    Stopped,
    checkpoint,
    leave_to_another,
)
from orionflow.engine.crashes import FOR_REPORTS, ends_by_signal, reason_of, seconds_for_reports
from orionflow.engine.effects import Do, Sleep, Steps, surely
from orionflow.engine.environments import note_environment
from orionflow.engine.exits import as_raised, is_closed, throwable
from orionflow.engine.failures import note_cause, warn_of_iterators
from orionflow.engine.flow_attempt import attempt_flow, wait_for_task_runs
from orionflow.engine.flow_creation import create_run
from orionflow.engine.flow_end import (
    AWAY,
    begin_proposal,
    end_without_api,
    finish,
    keep_end,
    line_names,
    propose,
    propose_end,
    store_value,
)
from orionflow.engine.forked_children import LeftByChild
from orionflow.engine.interruption import Hold
from orionflow.engine.kept_ends import NOT_REPORTED, keep_for
from orionflow.engine.run_calls import FlowCall
from orionflow.engine.signals import Root, ending, signals_as_exceptions
from orionflow.engine.thread_signals import thread_signals
from orionflow.engine.verdicts import enter_running, seconds_until_due, state_after_end
from orionflow.errors import ApiError, NotFound, OrchestrationRefused
from orionflow.logging import logger_for_flow_run
from orionflow.recordable import as_text
from orionflow.reporting import Reporter
from orionflow.reporting.items import Answer
from orionflow.results import UNPERSISTED
from orionflow.states import Cancelled, Crashed, Failed, State, StateDetails, StateType


def run_flow(call: FlowCall) -> Steps[State[Any]]:
    """Take one call of a flow from its arguments to its final state, and return that state."""
    with _signals_for(call), _open_in_parent(call):
        try:
            with nullcontext() if call.hold is None else closing(call.hold):
                active = yield from create_run(call)
                if isinstance(active, State):
                    return active
                call.active = active
                state = yield from _attempts(active, call)
        except LeftByChild as left:
            if call.parent is None:
                raise throwable(left.reason) from None
            raise
        except BaseException as error:
            # The call is still open in its parent, so that the parent's end is not reported before this one.
            yield from surely(_end_unstarted(call, as_raised(error)))
            raise
    state.amend_details(flow_run_id=active.id)
    if active.parent is not None:
        active.parent.state_counts.add(state)
        if state.is_completed() and active.flow_run.parent_task_run_id is not None:
            active.parent.lineage.add(state.value, active.flow_run.parent_task_run_id)
    return state


def _signals_for(call: FlowCall) -> AbstractContextManager[None]:
    if not call.is_outermost:
        return nullcontext()
    if not _is_in_main_thread():
        return thread_signals().watched()
    coroutine = asyncio.current_task() if call.flow.is_async else None
    return signals_as_exceptions(Root(coroutine, lambda: call.is_ending, call.abandon))


def _is_in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def _open_in_parent(call: FlowCall) -> Iterator[None]:
    """Register the call, so that the end of the run around it, or else of the process, ends its run as well."""
    if call.is_outermost and _is_in_main_thread():
        yield
        return
    coroutine = asyncio.current_task() if call.flow.is_async else None
    if call.parent is not None and coroutine is not None:
        refuse_late(call.parent)
    going_on = roots_in_threads if call.parent is None or call.is_outermost else call.parent.open
    going_on[call] = call.hold = Hold(coroutine)
    try:
        yield
    finally:
        try:
            call.hold.close()
        finally:
            going_on.pop(call, None)


def _end_unstarted(call: FlowCall, error: BaseException) -> Steps[None]:
    """End a run that was interrupted outside of its attempts, as no other code would end it."""
    active = call.active
    if isinstance(error, Exception | Stopped) or call.is_ending or (active is not None and active.has_reported_end):
        return
    reason = reason_of(error)
    if is_closed(error) and active is not None:
        call.is_ending = True
        active.abandon(reason)
    elif call.created or call.may_exist:
        call.is_ending = True
        state: State[Any] = (Cancelled if reason.is_cancel else Crashed)(message=reason.message)
        if active is not None and active.proposed_end is not None:
            state = active.proposed_end
        reporter = current_api().reporter
        if call.flow_run_id is None:
            # No other process reports the end of a run that this call created.
            if active is not None:
                active.has_reported_end = True
            report = Do(_keep_unstarted, call, state, reporter)
        else:
            # A coroutine that is closed blocks its thread.
            patience = Patience(budget_seconds=FOR_REPORTS) if is_closed(error) else None
            report = Do(_send_unstarted, call, state, reporter.client, patience)
        if is_closed(error):
            # Nothing can be awaited any more.
            report.block()
        else:
            yield report


def _keep_unstarted(call: FlowCall, state: State[Any], reporter: Reporter) -> None:
    run_id, name = (call.created[-1].id, call.created[-1].name) if call.created else (call.new_run_id, None)
    logger = logger_for_flow_run(run_id, name or "", call.flow.name)
    keep_for(seconds_for_reports(), run_id, state, datetime.now(UTC), reporter=reporter, logger=logger)


def _send_unstarted(call: FlowCall, state: State[Any], client: OrionClient, patience: Patience | None) -> None:
    run = call.created[-1]
    try:
        client.send(set_flow_run_state(run.id, state), patience=patience)
    except NotFound:
        # It was deleted.
        return
    except ApiError as trouble:
        logger_for_flow_run(run.id, run.name or "", call.flow.name).error(NOT_REPORTED, state.name, trouble)


def _attempts(active: ActiveFlowRun, call: FlowCall) -> Steps[State[Any]]:
    state = yield from _enter_running(active)
    if state.is_completed() and state.data is None:
        # The rules skipped the run.
        state.value = None
    active.logger.info("The run of flow %r begins.", active.flow.name)
    note_environment(active)
    while state.type is StateType.RUNNING:
        context = active.context = active.new_context()
        try:
            state = yield from _attempt(active, context, state)
        except LeftByChild:
            raise
        except BaseException as error:
            call.is_ending = True
            return (yield from _crash(active, call, context, as_raised(error)))
        finally:
            context.give_loop_back()
        if state.is_scheduled():
            wait = seconds_until_due(state)
            active.logger.warning("Trying again in %.3g s: %s", wait, state.message or "The flow failed.")
            warn_of_iterators(active.logger, active.parameters)
            yield Sleep(wait)
            state = yield from _enter_running(active, state.state_details.scheduled_time)
            active.count_attempt()
    call.is_ending = True
    yield from finish(active, state)
    return state


def _enter_running(active: ActiveFlowRun, waited_for: datetime | None = None) -> Steps[State[Any]]:
    """Propose RUNNING. `waited_for` is the time of the retry for which this process has waited, if it did.

    That is due even if the server's clock was set back meanwhile.
    """
    details = StateDetails(scheduled_time=waited_for)

    def propose_running() -> Steps[tuple[State[Any], Answer]]:
        # Each proposal is a separate state.
        return propose(active, State(type=StateType.RUNNING, state_details=details))

    try:
        state = yield from enter_running(propose_running, None, line_names(active.flow))
    except AWAY as away:
        if active.is_made_here:
            # Without this, the run would be shown as about to start forever.
            crashed = Crashed(message=f"The run could not begin: {as_text(away)}")
            end_without_api(active, crashed, datetime.now(UTC), away)
        raise
    if not state.is_cancelling():
        return state
    cancelled = Cancelled(message="The flow run was cancelled before it began.")
    return state_after_end(*(yield from propose(active, cancelled)))


def _attempt(active: ActiveFlowRun, context: FlowRunContext, running: State[Any]) -> Steps[State[Any]]:
    if active.unstored is not None:
        ended, active.unstored = active.unstored, None
    else:
        attempt = attempt_flow if tracing.current is None else _traced
        ended = yield from attempt(active, context, running)
    if context.unstored is not None:
        yield Do(context.unstored.store, active.logger)
    ended_at = datetime.now(UTC)
    if context.stopped_by is not None and (active.is_abandoned or isinstance(context.stopped_by, RunSuspended)):
        raise context.stopped_by
    if ended.is_completed():
        yield from store_value(active, ended)
    if ended.type in BAD:
        note_cause(ended, active.flow.fn)
    if ended.data is None and ended.value is not None:
        ended.data = UNPERSISTED
    try:
        # All records of a run must be complete when it is finished.
        yield Do(context.reporter.drain, active.id)
        if not isinstance(context.stopped_by, Stopped):
            checkpoint(context)
        elif active.is_abandoned:
            # It was given up while it waited for the API.
            raise context.stopped_by
        if active.recorded is not None and (line := (yield Do(active.recorded.ended, active.flow_run))):
            active.logger.info("%s", line)
        return (yield from propose_end(active, ended))
    except AWAY as away:
        return end_without_api(active, ended, ended_at, away)


def _traced(active: ActiveFlowRun, context: FlowRunContext, running: State[Any]) -> Steps[State[Any]]:
    # OpenTelemetry is only loaded if traces are on.
    from orionflow.tracing.spans import traced_flow

    return traced_flow(active, context, running)


def _crash(active: ActiveFlowRun, call: FlowCall, context: FlowRunContext, error: BaseException) -> Steps[State[Any]]:
    """End an attempt for a reason outside of the user's function. Raise the reason again, unless it was a command."""
    if call.hold is not None:
        call.hold.close()
    if isinstance(error, StepRefused):
        error = yield from _cause_of(active, context, error)
    if isinstance(error, RunSuspended):
        # Task runs that have started may finish; the others start in the next attempt.
        yield from wait_for_task_runs(context)
    context.stopped_by = context.stopped_by or (error if isinstance(error, Stopped) else None)
    if is_closed(error):
        # Nothing can be awaited any more.
        active.abandon(reason_of(error))
        raise error
    with ending():
        state = yield from surely(_end_early(active, context, error))
    stops_parent = active.parent is not None and active.parent.stopped_by is not None
    if not isinstance(error, Stopped) or stops_parent:
        raise error
    return state


def _end_early(active: ActiveFlowRun, context: FlowRunContext, error: BaseException) -> Steps[State[Any]]:
    left = yield from end_children(context, reason_of(error))
    if left:
        active.logger.warning("These could not be interrupted, and may continue for a while: %s.", ", ".join(left))
    state = _state_of_crash(error)
    if active.is_abandoned or active.has_reported_end:
        return state
    # These two are left to another attempt, which reports the end.
    active.has_reported_end = isinstance(error, RunSuspended | RunTakenOver)
    if isinstance(error, RunSuspended):
        # Later steps would be judged by the state of the next attempt, and their refusal would end that one.
        with suppress(ApiError):
            yield Do(context.reporter.drain, active.id, FOR_REPORTS)
    elif not isinstance(error, RunTakenOver):
        # If an end was proposed, the work was done before this error, and the API may have recorded it.
        state = yield from _report_crash(active, context, active.proposed_end or state)
    yield from finish(active, state)
    return state


def _cause_of(active: ActiveFlowRun, context: FlowRunContext, refusal: StepRefused) -> Steps[Stopped]:
    """Return RunSuspended if the step was refused because the run was left to another attempt, else the refusal."""
    context.stopped_by = None
    try:
        yield from leave_to_another(context)
    except RunSuspended as error:
        return error
    except ApiError:
        active.logger.debug("Whether the run is suspended cannot be asked now.", exc_info=True)
    context.stopped_by = refusal
    return refusal


def _state_of_crash(error: BaseException) -> State[Any]:
    if isinstance(error, RunSuspended):
        return error.state
    if isinstance(error, PauseRanOut):
        return Failed(message=str(error))
    reason = reason_of(error)
    if reason.is_cancel:
        return Cancelled(message=reason.message)
    value = OrchestrationRefused(str(error)) if isinstance(error, Stopped) else error
    return Crashed(message=reason.message, value=value)


def _report_crash(active: ActiveFlowRun, context: FlowRunContext, state: State[Any]) -> Steps[State[Any]]:
    at = datetime.now(UTC)
    try:
        if active.is_made_here and ends_by_signal():
            return (yield from keep_end(active, state, at, seconds_for_reports()))
        # Before the reports, for which a thread that ends the process may wait as well: two ends would be two crashes.
        begin_proposal(active, state)
        yield Do(context.reporter.drain, active.id, seconds_for_reports())
        return (yield from propose_end(active, active.proposed_end or state))
    except AWAY as away:
        if active.is_made_here:
            return end_without_api(active, state, at, away)
        # The agent that gave the run to this process will report that it ended.
        active.logger.error(NOT_REPORTED, state.name, away)
        return state
    except (ApiError, OrchestrationRefused) as trouble:
        active.logger.error(NOT_REPORTED, state.name, trouble)
        return state
