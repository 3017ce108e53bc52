"""Which run of an earlier attempt a call takes up: that of the same task or subflow with the same inputs.

The key under which a flow run stores a call holds the digest of the inputs, so the next attempt finds the run by them,
in whatever order it calls; calls with the same inputs are counted. Without a digest calls are only counted, and a run
that has a stored result is never taken up.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow.errors import UnserializableError
from orionflow.recordable import as_text
from orionflow.reporting.items import Answer
from orionflow.results import INPUTS_CHANGED, read_record
from orionflow.states import UNSET, State, is_record
from orionflow.values.traversal import PLAIN

if TYPE_CHECKING:
    from orionflow.context import FlowRunContext
    from orionflow.engine.run_calls import TaskCall

# A cache key is longer; this many digits never agree by chance.
KEY_DIGITS = 40
# The name of states that a cache gave; what their task does to its arguments was never done in this flow run.
CACHED = "Cached"
# No function can change a value of one of these types.
_CONSTANT = PLAIN - {bytearray, type} | {date, datetime, time, timedelta, Decimal, UUID, type(Path())}


def digest_of_call(
    flow_run: FlowRunContext, function: Callable[..., Any], parameters: dict[str, Any], *, key: str, version: str | None
) -> str:
    """A digest of a call and its inputs; raises UnserializableError when they cannot be compared."""
    # Most flows never ask.
    from orionflow.caching import hash_of_call

    return hash_of_call(function, parameters, key=key, version=version, enclosed=flow_run.enclosed)


def counted(flow_run: FlowRunContext, key: str, digest: str) -> str:
    """The dynamic key of the next call with these inputs."""
    digits = digest[:KEY_DIGITS]
    return f"{digits}-{flow_run.next_key(f'{key}:{digits}')}"


def why_not_compared(error: UnserializableError) -> str:
    """The line in the log of a run that no earlier one can stand for."""
    return f"It is not known whether an earlier attempt did this already, so it runs: {error}."


def is_done(answer: Answer) -> bool:
    """Whether the run that exists under this key completed with a result that can be read."""
    state = answer.state
    return state is not None and state.is_completed() and state.data is not None


def cannot_change(value: Any) -> bool:
    """Whether nobody can write into an argument, so that it need not be compared after the call."""
    kind = type(value)
    return kind in _CONSTANT or (kind in (tuple, frozenset) and all(map(cannot_change, value)))


def changed_its_inputs(call: TaskCall) -> bool:
    """Whether the function wrote into its arguments, which whoever takes up its value later does not get."""
    if call.inputs_digest is None:
        return False
    task = call.task
    try:
        now = digest_of_call(call.flow_run, task.fn, call.parameters, key=task.task_key, version=task.version)
    except UnserializableError:
        return True
    return now != call.inputs_digest


def is_value_alone(state: State[Any]) -> bool:
    """Whether the task of this state also changed its arguments, which its value does not repeat for another call."""
    return is_record(state.data) and bool(state.data.get(INPUTS_CHANGED)) and state.name != CACHED


def recall(state: State[Any]) -> str | None:
    """Read the stored result of a completed state into it; returns what is wrong when it cannot be used."""
    if not is_record(state.data):
        return None
    if is_value_alone(state):
        return "the task changed its arguments, which its value does not repeat"
    if state.value is not UNSET:
        return None
    try:
        state.value = read_record(state.data)
    except Exception as error:
        return f"{type(error).__name__}: {as_text(error)}"
    return None
