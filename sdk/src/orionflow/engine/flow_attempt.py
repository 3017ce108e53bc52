"""One attempt of a flow: the user's function is called, its task runs are waited for, and a final state comes of it."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any

from orionflow.context import FlowRunContext, in_flow_run
from orionflow.engine.crashes import crash_message
from orionflow.engine.effects import Do, Steps, UserCode, WaitFor
from orionflow.engine.failures import tell
from orionflow.engine.final_state import (
    futures_in,
    state_of_exception,
    state_of_nothing,
    state_of_value,
    timed_out,
    with_states_for_futures,
)
from orionflow.engine.flow_creation import Begun
from orionflow.engine.hooks import call_hooks
from orionflow.engine.orders import Stopped, TimeIsUp
from orionflow.engine.task_run import let_go
from orionflow.engine.time_limits import LimitReached
from orionflow.errors import FlowTimedOut
from orionflow.logging import prints_logged
from orionflow.states import State
from orionflow.tally import Tally


def attempt_flow(begun: Begun, context: FlowRunContext, running: State[Any]) -> Steps[State[Any]]:
    """Call the function and wait for what it submitted; the state in which this attempt ended."""
    flow = begun.flow
    with in_flow_run(context), prints_logged(True) if context.log_prints else nullcontext():
        if flow.on_running:
            yield from call_hooks(flow.on_running, flow, begun.flow_run, running, begun.logger)
        args, kwargs = flow.signature.split(begun.parameters)
        value: Any = None
        ended: State[Any] | None = None
        try:
            value = yield UserCode(flow.fn, args, kwargs, flow.timeout_seconds)
        except LimitReached:
            return (yield from _timed_out(begun, context))
        except Exception as error:
            tell(begun.logger, error, "The flow raised an exception:")
            ended = state_of_exception(error, "flow")
        yield from wait_for_task_runs(context)
        return ended or (yield from _state_of(value, context.tally))


def _state_of(value: Any, tally: Tally) -> Steps[State[Any]]:
    if value is None:
        return state_of_nothing(tally)
    # Futures of another flow run may be among them.
    if unfinished := [future for future in futures_in(value) if not future.is_done]:
        yield WaitFor(unfinished)
    return state_of_value(with_states_for_futures(value))


def wait_for_task_runs(context: FlowRunContext) -> Steps[None]:
    """Let what was submitted come to its end, and then end the task runner."""
    while context.unfinished:
        yield WaitFor(list(context.unfinished))
    yield Do(partial(context.stop_task_runner, wait=True))


def _timed_out(begun: Begun, context: FlowRunContext) -> Steps[State[Any]]:
    seconds = begun.flow.timeout_seconds or 0.0
    context.stopped_by = TimeIsUp("The time of the flow run is up.")
    yield Do(partial(let_go, context, str(context.stopped_by)))
    begun.logger.error("The flow ran longer than its limit of %g s.", seconds)
    error = FlowTimedOut(f"Flow {begun.flow.name!r} ran longer than its timeout_seconds={seconds:g}.")
    return timed_out("flow", seconds, error)


def abandon(context: FlowRunContext, error: BaseException) -> None:
    """The attempt ends early: nobody waits for what it submitted."""
    if context.stopped_by is None:
        context.stopped_by = error if isinstance(error, Stopped) else Stopped(crash_message(error))
    let_go(context, str(context.stopped_by))
