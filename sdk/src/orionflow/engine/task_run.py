"""The life of a task run: made, let in by the rules, run, ended, and again while it has tries left.

What the rules cannot answer differently is streamed; only where their answer matters does the run wait for it.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from orionflow.calls.task_runs import update_task_run
from orionflow.context import TaskRunContext, in_task_run
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
from orionflow.engine.failures import logger_of
from orionflow.engine.hooks import call_hooks
from orionflow.engine.reuse import recall
from orionflow.engine.run_calls import TaskCall
from orionflow.engine.task_creation import begin, take_inputs
from orionflow.engine.verdicts import enter_running, seconds_until_due, state_after_end
from orionflow.engine.waiting_lines import waiting_lines
from orionflow.errors import InvalidRequest, OrchestrationRefused
from orionflow.recordable import LONGEST_CACHE_KEY, short_text
from orionflow.reporting.items import Answer
from orionflow.states import UNSET, State, StateType

DEBUG = logging.DEBUG
logger = logging.getLogger("orionflow.task_runs")


def run_task(call: TaskCall) -> Steps[State[Any]]:
    """One task run from its creation to its final state."""
    try:
        state = yield from _life(call)
    except BaseException as error:
        report_crash(call, error)
        raise
    yield from _finish(call, state)
    return state


def _life(call: TaskCall) -> Steps[State[Any]]:
    flow_run = call.flow_run
    not_ready: State[Any] | None = None
    if not call.is_created:
        not_ready = yield from begin(call)
    checkpoint(flow_run)
    if is_paused(flow_run):
        yield from wait_until_resumed(flow_run)
    if not call.is_resolved and not_ready is None:
        not_ready = yield from take_inputs(call)
    if not_ready is not None:
        _stream(call, not_ready)
        return not_ready
    if call.task.task_run_name is not None:
        yield from _rename(call)
    return (yield from _attempts(call))


def _rename(call: TaskCall) -> Steps[None]:
    """Give the run the name that its arguments make, now that they have values."""
    with in_task_run(TaskRunContext(call, call.flow_run.log_prints)):
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
    cache_key = _cache_key(call)
    asks = _must_ask(call, cache_key)
    while True:
        running = yield from _enter_running(call, cache_key, asks)
        if running.is_completed() and (why := (yield Do(recall, running))) is not None:
            yield from _reopen(call, running, why)
            continue
        if running.type is not StateType.RUNNING:
            return _known_before(call, running)
        call.run_count += 1
        ended = yield from attempt_task(call, cache_key)
        state = yield from _propose_end(call, ended)
        if not state.is_scheduled():
            return state
        # The rules gave the run another try.
        call.state = state
        _log(call, logging.INFO, "Trying again in %.3g s: %s", seconds_until_due(state), ended.message or ended.name)
        yield Sleep(seconds_until_due(state))
        asks = True
        checkpoint(call.flow_run)


def _reopen(call: TaskCall, known: State[Any], why: str) -> Steps[None]:
    """A stored result that cannot be read is none: the run begins as if nobody had found it."""
    where = known.data.get("storage_key") or known.data.get("type")
    _log(call, logging.WARNING, "The stored result %s cannot be read (%s), so the task runs.", where, why)
    call.refreshes = True
    call.state = call.new_state(StateType.PENDING, message="Its stored result cannot be read.")
    yield Ask(call.flow_run.reporter, call.step(call.state, force=True))


def _known_before(call: TaskCall, state: State[Any]) -> State[Any]:
    """The state of a run that need not run, with its value where that is wanted."""
    if state.is_completed() and state.value is not UNSET:
        if call.task.cache_result_in_memory:
            call.flow_run.lineage.add(state.value, call.id)
        else:
            state.value = UNSET
    return state


def _must_ask(call: TaskCall, cache_key: str | None) -> bool:
    """Whether the rules may answer RUNNING with anything but yes: a cached state, a limit, a state of before."""
    flow_run = call.flow_run
    return cache_key is not None or bool(call.tags) or flow_run.strict or flow_run.is_repeated


def _cache_key(call: TaskCall) -> str | None:
    """The key that the user's function gives; none, with a word in the log, where it is none that can be kept."""
    key_of = call.task.cache_key_fn
    if key_of is None:
        return None
    with in_task_run(TaskRunContext(call, call.flow_run.log_prints)) as context:
        try:
            key: object = key_of(context, dict(call.parameters))
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


def _enter_running(call: TaskCall, cache_key: str | None, asks: bool) -> Steps[State[Any]]:
    if not asks:
        state = call.new_state(StateType.RUNNING)
        _stream(call, state)
        return state
    try:
        state = yield from enter_running(partial(_ask_running, call, cache_key), call.flow_run, call.tags)
    except OrchestrationRefused as error:
        # This run cannot begin; its flow can go on without it.
        state = call.state or call.new_state(StateType.PENDING)
        return state.copy(value=error)
    call.state = state
    return state


def _ask_running(call: TaskCall, cache_key: str | None) -> Steps[tuple[State[Any], Answer]]:
    state = call.new_state(StateType.RUNNING)
    state.amend_details(cache_key=cache_key, refresh_cache=call.refreshes or None)
    answer = yield Ask(call.flow_run.reporter, call.step(state))
    return state, answer


def _propose_end(call: TaskCall, state: State[Any]) -> Steps[State[Any]]:
    if not _end_matters(call, state):
        _stream(call, state)
        _make_room(call)
        return state
    answer = yield Ask(call.flow_run.reporter, call.step(state))
    _make_room(call)
    return state_after_end(state, answer)


def _make_room(call: TaskCall) -> None:
    """Its slots are free for who waits for them here: reports are delivered in order, so this end comes first."""
    if call.tags:
        waiting_lines().make_room(call.tags)


def _end_matters(call: TaskCall, state: State[Any]) -> bool:
    """Whether the rules may have another try for a run that ended so."""
    if call.flow_run.strict:
        return True
    match state.type:
        case StateType.FAILED:
            return call.task.retries > 0 and state.state_details.retriable is not False
        case StateType.CRASHED:
            return call.task.crash_retries > 0
    return False


def _stream(call: TaskCall, state: State[Any]) -> None:
    call.state = state
    if not call.is_abandoned:
        call.flow_run.api.reporter.stream(call.step(state))


def _finish(call: TaskCall, state: State[Any]) -> Steps[None]:
    call.state = state
    state.amend_details(task_run_id=call.id, flow_run_id=call.flow_run.id)
    if call.is_abandoned:
        # It is recorded as ended with its flow; what became of it since concerns nobody.
        return
    call.flow_run.state_counts.add(state)
    task = call.task
    if state.type is not StateType.COMPLETED:
        _log(call, logging.ERROR if state.is_final() else logging.INFO, "Ended as %s.", state)
        hooks = task.on_failure if state.type is StateType.FAILED else ()
    else:
        if logger.isEnabledFor(DEBUG):
            _log(call, DEBUG, "Ended as %s.", state)
        hooks = task.on_completion
    if hooks:
        yield from call_hooks(hooks, task, call.as_task_run(), state, logger_of(call))
    if call.future is None:
        call.flow_run.called.discard(call)
    else:
        call.future.settle(state)
    if state.type is not StateType.COMPLETED:
        # The frames of its exception hold the call.
        call.state = state.without_value()


def report_crash(call: TaskCall, error: BaseException) -> None:
    """The run ends for a reason outside of the user's function."""
    reason = reason_of(error)
    state = call.new_state(StateType.CANCELLED if reason.is_cancel else StateType.CRASHED, message=reason.message)
    state.value = error
    if call.is_created and not isinstance(error, RunTakenOver | RunSuspended | GeneratorExit):
        _stream(call, state)
        _make_room(call)
        call.flow_run.called.discard(call)
    state.amend_details(task_run_id=call.id, flow_run_id=call.flow_run.id)
    if not call.is_abandoned:
        call.flow_run.state_counts.add(state)
    if call.future is not None:
        call.future.settle(state)


def _log(call: TaskCall, level: int, message: str, *args: Any) -> None:
    if logger.isEnabledFor(level):
        logger_of(call).log(level, message, *args)
