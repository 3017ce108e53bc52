"""The life of a task run: create, get admitted by the rules, run, end, and repeat while retries are left.

Steps that the rules always accept are streamed; the run waits for an answer only if it may change what follows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from orionflow import tracing
from orionflow.calls.task_runs import update_task_run
from orionflow.context import TaskRunContext, in_task_run
from orionflow.contract.states import CACHED
from orionflow.engine.attempt import attempt_task
from orionflow.engine.commands import (
    RunSuspended,
    RunTakenOver,
    checkpoint,
    is_paused,
    wait_until_resumed,
)
from orionflow.engine.crashes import reason_of
from orionflow.engine.effects import Ask, Do, Sleep, Steps, send
from orionflow.engine.exits import as_raised
from orionflow.engine.failures import logger_of, warn_of_iterators
from orionflow.engine.forked_children import LeftByChild, ParentContinues
from orionflow.engine.hooks import Callback, call_hooks
from orionflow.engine.recorded import AGAIN, Recorded
from orionflow.engine.reuse import recall
from orionflow.engine.run_calls import TaskCall
from orionflow.engine.task_creation import create_at_start, resolve_inputs
from orionflow.engine.usual_ends import is_usual
from orionflow.engine.verdicts import enter_running, seconds_until_due, state_after_end
from orionflow.engine.waiting_lines import waiting_lines
from orionflow.errors import InvalidRequest, OrchestrationRefused
from orionflow.recordable import LONGEST_CACHE_KEY, short_text
from orionflow.reporting.items import Answer
from orionflow.states import UNSET, State, StateType

DEBUG = logging.DEBUG
logger = logging.getLogger("orionflow.task_runs")


def run_task(call: TaskCall) -> Steps[State[Any]]:
    """Take one task run from its creation to its final state, and return that state."""
    try:
        state = yield from _until_end(call)
    except BaseException as error:
        report_crash(call, as_raised(error))
        raise
    yield from _finish(call, state)
    return state


def _until_end(call: TaskCall) -> Steps[State[Any]]:
    flow_run = call.flow_run
    not_ready: State[Any] | None = None
    if not call.is_created:
        not_ready = yield from create_at_start(call)
    checkpoint(flow_run)
    if is_paused(flow_run):
        yield from wait_until_resumed(flow_run)
    if not call.is_resolved and not_ready is None:
        not_ready = yield from resolve_inputs(call)
    if not_ready is not None:
        _stream(call, not_ready)
        return not_ready
    if call.task.task_run_name is not None:
        yield from _rename(call)
    return (yield from _attempts(call))


def _rename(call: TaskCall) -> Steps[None]:
    """Name the run by its arguments, which have values now."""
    with in_task_run(TaskRunContext(call, call.flow_run.log_prints)), ParentContinues():
        name = call.task.name_for(call.parameters)
    if name is None or name == call.name:
        return
    yield Do(call.flow_run.reporter.drain, call.flow_run.id)
    try:
        yield send(call.flow_run.client, update_task_run(call.id, name=name))
    except InvalidRequest as refusal:
        logger_of(call).warning("The run keeps its name: %s", refusal)
        return
    call.name = name


def _attempts(call: TaskCall) -> Steps[State[Any]]:
    flow_run = call.flow_run
    if flow_run.recorded is not None and (taken := (yield from _take_up(call, flow_run.recorded))) is not None:
        return taken
    cache_key = None if call.task.cache_key_fn is None else (yield from _cache_key(call, call.task.cache_key_fn))
    # Only with one of these may the rules answer RUNNING with something else than acceptance: a cached state, a wait
    # for a slot, or the state of an earlier attempt.
    asks = cache_key is not None or bool(call.tags) or flow_run.strict or flow_run.is_repeated
    waited_for: datetime | None = None
    while True:
        if asks:
            running = yield from _ask_to_run(call, cache_key, waited_for)
        else:
            running = call.new_state(StateType.RUNNING)
            _stream(call, running)
        if running.is_completed() and (why := (yield Do(recall, running))) is not None:
            yield from _reopen(call, running, why)
            continue
        if running.type is not StateType.RUNNING:
            if running.is_completed() and running.value is not UNSET:
                # The value is known, from the cache or from an earlier attempt of the flow run.
                if call.task.cache_result_in_memory:
                    flow_run.lineage.add(running.value, call.id)
                else:
                    running.value = UNSET
            if tracing.current is not None:
                tracing.current.not_run(call, running)
            return running
        call.run_count += 1
        ended = yield from (attempt_task(call, cache_key) if tracing.current is None else _traced(call, cache_key))
        state = yield from _propose_end(call, ended)
        if not state.is_scheduled():
            return state
        # The rules allow another attempt.
        call.state = state
        _log(call, logging.INFO, "Trying again in %.3g s: %s", seconds_until_due(state), ended.message or ended.name)
        warn_of_iterators(logger_of(call), call.parameters)
        yield Sleep(seconds_until_due(state))
        asks, waited_for = True, state.state_details.scheduled_time
        checkpoint(flow_run)


def _traced(call: TaskCall, cache_key: str | None) -> Steps[State[Any]]:
    # OpenTelemetry is only loaded if traces are on.
    from orionflow.tracing.spans import traced_task

    return traced_task(call, cache_key)


def _take_up(call: TaskCall, recorded: Recorded) -> Steps[State[Any] | None]:
    """Return the recorded final state for the call; None if the run continues, to run or to reuse its own result."""
    recorded.begins(call)
    known, found = call.state, recorded.of_call(call.task.task_key, call.dynamic_key, call.state)
    if isinstance(found, State):
        return (yield from _stand_in(call, found))
    if found is AGAIN:
        call.refreshes = True
    elif known is not None and known.is_completed() and known.data is not None:
        # A retry or replay reuses this result, even if its task refreshes the cache for other runs.
        call.refreshes = False
        if not call.is_identified:
            _log(
                call,
                logging.INFO,
                "Its inputs cannot be compared, so it takes up the result of the call number %s.",
                call.dynamic_key,
            )
    return None


def _stand_in(call: TaskCall, found: State[Any]) -> Steps[State[Any] | None]:
    """End the run in the recorded state; return None if its value cannot be used."""
    if found.is_completed() and (why := (yield Do(recall, found))) is not None:
        _log(call, logging.WARNING, "The recorded result cannot be used (%s), so the task runs.", why)
        return None
    state = call.new_state(found.type, CACHED if found.is_completed() else found.name, found.message)
    state.data, state.value = found.data, found.value
    if state.is_completed() and state.value is not UNSET:
        if call.task.cache_result_in_memory:
            call.flow_run.lineage.add(state.value, call.id)
        else:
            state.value = UNSET
    _stream(call, state)
    return state


def _reopen(call: TaskCall, known: State[Any], why: str) -> Steps[None]:
    """Set a completed run back to PENDING, as its stored result cannot be used."""
    where = known.data.get("storage_key") or known.data.get("type")
    _log(call, logging.WARNING, "The stored result %s cannot be used (%s), so the task runs.", where, why)
    call.refreshes = True
    call.state = call.new_state(StateType.PENDING, message="Its stored result cannot be used.")
    yield Ask(call.flow_run.reporter, call.step(call.state, force=True))


def _cache_key(call: TaskCall, key_of: Callable[..., Any]) -> Steps[str | None]:
    """Return the cache key that the user's function computes; None, with a warning, if it cannot be stored."""
    with in_task_run(TaskRunContext(call, call.flow_run.log_prints)) as context:
        try:
            key: object = yield Callback(key_of, context, dict(call.parameters))
        except Exception:
            logger_of(call).exception("cache_key_fn raised an exception, so the run is not cached.")
            return None
    if isinstance(key, str) and short_text(key, LONGEST_CACHE_KEY) == key:
        return key
    if key is not None:
        what = "a text that cannot be kept" if isinstance(key, str) else f"a {type(key).__name__}"
        logger_of(call).warning(
            "cache_key_fn returned %s, so the run is not cached; it must return a text of at most %d characters.",
            what,
            LONGEST_CACHE_KEY,
        )
    return None


def _ask_to_run(call: TaskCall, cache_key: str | None, waited_for: datetime | None) -> Steps[State[Any]]:
    def propose() -> Steps[tuple[State[Any], Answer]]:
        running = call.new_state(StateType.RUNNING)
        # The time of a retry, for which this process has waited, is due even if the server's clock was set back.
        running.amend_details(cache_key=cache_key, refresh_cache=call.refreshes or None, scheduled_time=waited_for)
        answer = yield Ask(call.flow_run.reporter, call.step(running))
        return running, answer

    try:
        state = yield from enter_running(propose, call.flow_run, call.tags)
    except OrchestrationRefused as error:
        # This run cannot start, but its flow can continue.
        state = call.state or call.new_state(StateType.PENDING)
        return state.copy(value=error)
    call.state = state
    return state


def _propose_end(call: TaskCall, state: State[Any]) -> Steps[State[Any]]:
    # The rules may retry a run that failed or crashed, if it has retries.
    may_retry = (
        state.type is StateType.FAILED and call.task.retries > 0 and state.state_details.retriable is not False
    ) or (state.type is StateType.CRASHED and call.task.crash_retries > 0)
    if not may_retry and not call.flow_run.strict:
        _stream(call, state)
        _make_room(call)
        return state
    answer = yield Ask(call.flow_run.reporter, call.step(state))
    _make_room(call)
    return state_after_end(state, answer)


def _make_room(call: TaskCall) -> None:
    """Wake runs of this process that wait for a slot of the same tags.

    Reports are delivered in order, so the API learns of this run's end before one of the waiting runs asks.
    """
    if call.tags:
        waiting_lines().make_room(call.tags)


def _stream(call: TaskCall, state: State[Any]) -> None:
    call.state = state
    if not call.is_abandoned:
        # Before it is reported, which may block for a moment.
        call.has_reported_end = state.type is not StateType.RUNNING
        call.flow_run.api.reporter.stream(call.step(state))


def _finish(call: TaskCall, state: State[Any]) -> Steps[None]:
    call.state = state
    call.has_reported_end = call.has_reported_end or state.is_final()
    task, future = call.task, call.future
    is_plain = future is not None and not task.on_completion and is_usual(state)
    if not is_plain:
        state.amend_details(task_run_id=call.id, flow_run_id=call.flow_run.id)
    if call.is_abandoned:
        # The run is recorded as ended with its flow; its later states are not recorded.
        return
    call.flow_run.state_counts.add(state)
    if call.flow_run.is_in_child:
        yield Do(call.flow_run.reporter.deliver)
    if state.type is not StateType.COMPLETED:
        _log(call, logging.ERROR if state.is_final() else logging.INFO, "Ended as %s.", state)
        hooks = task.on_failure if state.type is StateType.FAILED else ()
    else:
        if logger.isEnabledFor(DEBUG):
            _log(call, DEBUG, "Ended as %s.", state)
        hooks = task.on_completion
    try:
        if hooks:
            yield from call_hooks(hooks, task, call.as_task_run(), state, logger_of(call))
    finally:
        # Also if a hook ends the program: the run has ended, and code that waits for it must not wait forever.
        if future is None:
            call.flow_run.called.discard(call)
        else:
            future.settle(state, call.flow_run.id if is_plain else None)
    if state.type is not StateType.COMPLETED:
        # The frames of the exception hold the call.
        call.state = state.without_value()


def report_crash(call: TaskCall, error: BaseException) -> None:
    """Report a run that ends for a reason outside of the user's function."""
    if isinstance(error, LeftByChild):
        return
    reason = reason_of(error)
    state = call.new_state(StateType.CANCELLED if reason.is_cancel else StateType.CRASHED, message=reason.message)
    state.value = error
    if call.is_created and not isinstance(error, RunTakenOver | RunSuspended):
        _stream(call, state)
        _make_room(call)
        if call.flow_run.is_in_child:
            # Python ends a process of multiprocessing without code that runs at exit.
            call.flow_run.reporter.deliver()
    # Also if nothing is reported: a run that is left to another attempt or process has not crashed.
    call.flow_run.called.discard(call)
    state.amend_details(task_run_id=call.id, flow_run_id=call.flow_run.id)
    if not call.is_abandoned:
        call.flow_run.state_counts.add(state)
    if call.future is not None:
        call.future.settle(state)


def _log(call: TaskCall, level: int, message: str, *args: Any) -> None:
    if logger.isEnabledFor(level):
        logger_of(call).log(level, message, *args)
