"""One attempt of a task: the user's function is called, and its outcome becomes a state with a stored value."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

from orionflow.context import TaskRunContext, _task_run
from orionflow.contract.ids import uuid7
from orionflow.contract.states import BAD, NO_DETAILS
from orionflow.engine.crashes import Terminated, is_asked_to_end
from orionflow.engine.effects import Do, Steps, UserCode
from orionflow.engine.exits import reset
from orionflow.engine.failures import log_exception, logger_of, note_cause
from orionflow.engine.final_state import (
    fail_for_want_of_storage,
    keep_unstored,
    state_of_exception,
    state_of_value,
    timed_out,
)
from orionflow.engine.hooks import Callback
from orionflow.engine.reuse import marks_of
from orionflow.engine.run_calls import TaskCall
from orionflow.engine.time_limits import LimitReached
from orionflow.engine.usual_ends import UNTRACKABLE
from orionflow.errors import TaskTimedOut, WorkerCrashed
from orionflow.logging.prints import prints_logged
from orionflow.results import UNPERSISTED, expiring_in, store_of, write_result
from orionflow.serializers import serializer_of
from orionflow.states import UNSET, Crashed, State, StateType


def attempt_task(call: TaskCall, cache_key: str | None) -> Steps[State[Any]]:
    """Call the function and return the final state of this attempt, ready to be proposed.

    If the function returned and only storing its value failed, the next attempt only repeats the storing.
    """
    task = call.task
    if call.unstored is not None:
        # The function is not called again, only its value is stored.
        state, call.unstored = call.unstored, None
    else:
        state = yield from _called(call)
    state.id, state.timestamp = uuid7(), datetime.now(UTC)
    if state.type is StateType.COMPLETED:
        yield from _keep(call, state, cache_key)
    elif state.type is StateType.FAILED and task.retries:
        state.amend_details(retriable=(yield from _is_retriable(call, state)))
    if state.type in BAD:
        note_cause(state, task.fn)
    if state.data is None and state.value is not None:
        state.data = UNPERSISTED
    return state


def _called(call: TaskCall) -> Steps[State[Any]]:
    task = call.task
    log_prints = call.flow_run.log_prints if task.log_prints is None else task.log_prints
    token = _task_run.set(TaskRunContext(call, log_prints))
    try:
        with prints_logged(True) if log_prints else nullcontext():
            value = yield UserCode(task.fn, call.args, call.kwargs, task.timeout_seconds, call.place)
    except LimitReached:
        seconds = task.timeout_seconds or 0.0
        error = TaskTimedOut(f"Task {task.name!r} ran longer than its timeout_seconds={seconds:g}.")
        return timed_out("task", seconds, error)
    except WorkerCrashed as crash:
        return Crashed(message=str(crash), value=crash)
    except Exception as error:
        log_exception(logger_of(call), error, "The task raised an exception:")
        if is_asked_to_end(error):
            raise Terminated from error
        return state_of_exception(error, "task")
    finally:
        reset(_task_run, token)
    return state_of_value(value)


def _is_retriable(call: TaskCall, state: State[Any]) -> Steps[bool]:
    """Whether the user's condition allows a retry; a condition that raises counts as no."""
    condition = call.task.retry_condition_fn
    if condition is None:
        return True
    try:
        return bool((yield Callback(condition, call.task, call.as_task_run(), state)))
    except Exception:
        logger_of(call).exception("retry_condition_fn raised an exception, so the task is not tried again.")
        return False


def _keep(call: TaskCall, state: State[Any], cache_key: str | None) -> Steps[None]:
    """Remember the run that the value came from, and store the value if it will be needed later."""
    has_value = state.value is not UNSET
    # A value that is read from its store is a new object each time, so its identity does not show where it came from.
    if has_value and (not call.task.cache_result_in_memory or not call.flow_run.lineage.add(state.value, call.id)):
        if state.state_details is NO_DETAILS:
            state.state_details = UNTRACKABLE
        else:
            state.amend_details(untrackable_result=True)
    if cache_key is not None:
        lasts = call.task.cache_expiration
        expires = None if lasts is None else datetime.now(UTC) + lasts
        state.amend_details(cache_key=cache_key, cache_expiration=expires)
    # A state without a value here may name a stored value, set by the program.
    if has_value and call.task.stores_results(cache_key, call.flow_run):
        yield from _store(call, state, cache_key)


def _store(call: TaskCall, state: State[Any], cache_key: str | None) -> Steps[None]:
    task = call.task
    try:
        state.data = yield Do(_write, call, state.value, cache_key)
    except Exception as error:
        if task.persist_result:
            call.unstored = fail_for_want_of_storage(state, error)
            return
        # The work is done and its value is in memory: only later runs cannot reuse it.
        keep_unstored(state, error, call.flow_run)
        state.amend_details(cache_key=None)
        return
    if not task.cache_result_in_memory:
        state.value = UNSET


def _write(call: TaskCall, value: Any, cache_key: str | None) -> dict[str, Any]:
    task, flow = call.task, call.flow_run.flow
    serializer = task.result_serializer or flow.result_serializer
    return write_result(
        value,
        run_id=call.id,
        store=store_of(task.result_storage or flow.result_storage),
        serializer=None if serializer is None else serializer_of(serializer),
        key=None if task.result_storage_key is None else task.storage_key_for(call),
        **expiring_in(_kept_for(call, cache_key)),
        **({} if cache_key is None else _cached_by(call)),
        **marks_of(call.compared),
    )


def _kept_for(call: TaskCall, cache_key: str | None) -> timedelta | None:
    """Return how long a result is kept: as the task or the flow says, but at least as long as the cache uses it."""
    task, of_flow = call.task, call.flow_run.flow.result_expiration
    if task.result_expiration is not None or cache_key is None:
        return task.result_expiration or of_flow
    if task.cache_expiration is None:
        return None
    return max(of_flow or task.cache_expiration, task.cache_expiration)


def _cached_by(call: TaskCall) -> dict[str, Any]:
    """Return the field of a reference to a cached result that names the run that stored it, and its inputs."""
    from orionflow.caching import digests_of_inputs

    return {"cache": {"task_run_id": str(call.id), "inputs": digests_of_inputs(call.parameters)}}
