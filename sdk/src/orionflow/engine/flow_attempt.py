"""One attempt of a flow: calls the user's function, waits for its task runs, and returns the final state."""

from __future__ import annotations

import time
from contextlib import nullcontext
from functools import partial
from typing import Any

from orionflow.context import FlowRunContext, in_flow_run
from orionflow.engine.active_flow_run import ActiveFlowRun
from orionflow.engine.children import end_children, end_unawaited
from orionflow.engine.commands import TimeIsUp
from orionflow.engine.crashes import Terminated, is_asked_to_end
from orionflow.engine.effects import Do, Steps, UserCode, WaitFor
from orionflow.engine.failures import log_exception
from orionflow.engine.final_state import (
    futures_in,
    state_of_exception,
    state_of_nothing,
    state_of_value,
    timed_out,
    with_states_for_futures,
)
from orionflow.engine.hooks import call_hooks
from orionflow.engine.interruption import Reason
from orionflow.engine.state_counts import StateCounts
from orionflow.engine.time_limits import LimitReached
from orionflow.errors import FlowTimedOut
from orionflow.logging.prints import prints_logged
from orionflow.states import State

# Seconds. A user who sets a limit of half a second does not want to wait much longer for uninterruptible code.
GRACE_AT_LIMIT_SECONDS = 0.25


def attempt_flow(active: ActiveFlowRun, context: FlowRunContext, running: State[Any]) -> Steps[State[Any]]:
    """Call the function, wait for the tasks that it submitted, and return the final state of this attempt."""
    flow = active.flow
    with in_flow_run(context), prints_logged(True) if context.log_prints else nullcontext():
        if flow.on_running:
            yield from call_hooks(flow.on_running, flow, active.flow_run, running, active.logger)
        args, kwargs = flow.signature.split(active.parameters)
        until = None if flow.timeout_seconds is None else time.monotonic() + flow.timeout_seconds
        value: Any = None
        ended: State[Any] | None = None
        try:
            value = yield UserCode(flow.fn, args, kwargs, flow.timeout_seconds)
        except LimitReached:
            return (yield from _timed_out(active, context))
        except Exception as error:
            log_exception(active.logger, error, "The flow raised an exception:")
            if is_asked_to_end(error):
                raise Terminated from error
            ended = state_of_exception(error, "flow")
        if not (yield from wait_for_task_runs(context, until)):
            return (yield from _timed_out(active, context))
        # Computed before the next step, because that makes remaining runs count as cancelled.
        ended = ended or (yield from _state_of(value, context.state_counts))
        yield from _end_unawaited(active, context)
        return ended


def _end_unawaited(active: ActiveFlowRun, context: FlowRunContext) -> Steps[None]:
    """End coroutines that the flow did not await, such as the others of a `gather` in which one raised."""
    context.is_over = True
    if not context.open:
        return
    names = yield from end_unawaited(context)
    if names:
        active.logger.warning("The flow ended before these runs, which are cancelled: %s.", ", ".join(names))


def _state_of(value: Any, tally: StateCounts) -> Steps[State[Any]]:
    if value is None:
        return state_of_nothing(tally)
    # The value may contain futures of another flow run.
    if unfinished := [future for future in futures_in(value) if not future.is_done]:
        yield WaitFor(unfinished)
    return state_of_value(with_states_for_futures(value))


def wait_for_task_runs(context: FlowRunContext, until: float | None = None) -> Steps[bool]:
    """Wait until the submitted task runs have ended, then end the task runner; return False if time is up first."""
    while context.unfinished:
        if until is not None and time.monotonic() >= until:
            return False
        yield WaitFor(list(context.unfinished), until)
    yield Do(partial(context.stop_task_runner, wait=True))
    return True


def _timed_out(active: ActiveFlowRun, context: FlowRunContext) -> Steps[State[Any]]:
    seconds = active.flow.timeout_seconds or 0.0
    context.stopped_by = TimeIsUp("The time of the flow run is up.")
    left = yield from end_children(context, Reason(str(context.stopped_by)), GRACE_AT_LIMIT_SECONDS)
    error = FlowTimedOut(f"Flow {active.flow.name!r} ran longer than its timeout_seconds={seconds:g}.")
    state = timed_out("flow", seconds, error)
    if left:
        state.message = f"{state.message} Could not be interrupted, and may continue for a while: {', '.join(left)}."
    active.logger.error("%s", state.message)
    return state
