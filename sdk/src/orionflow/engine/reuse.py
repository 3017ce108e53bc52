"""Which run of an earlier attempt a call takes up: that of the same task or subflow with the same inputs.

The key under which a flow run stores a call holds the digest of the inputs, so the next attempt finds the run by them,
in whatever order it calls; calls with the same inputs are counted. Without a digest calls are only counted, and a run
that has a stored result is never taken up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
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

# A cache key is longer; this many digits never agree by chance.
KEY_DIGITS = 40
# The name of states that a cache gave; what their task does to its arguments was never done in this flow run.
CACHED = "Cached"
# No function can change a value of one of these types.
_CONSTANT = PLAIN - {bytearray, type} | {date, datetime, time, timedelta, Decimal, UUID, type(Path())}


class Inputs:
    """The inputs of a call as they are before it: its arguments, and what its function is bound to.

    Raises UnserializableError when they cannot be compared.
    """

    __slots__ = ("_compute", "digest")

    def __init__(
        self,
        flow_run: FlowRunContext,
        function: Callable[..., Any],
        arguments: dict[str, Any],
        *,
        key: str,
        version: str | None = None,
    ) -> None:
        # Most flows never ask.
        from orionflow.caching import hash_of_call

        compute = partial(hash_of_call, function, arguments, key=key, version=version, enclosed=flow_run.enclosed)
        self.digest: str = compute()
        is_fixed = all(map(cannot_change, (_bound_to(function), *arguments.values())))
        self._compute = None if is_fixed else compute

    def have_changed(self) -> bool:
        """Whether the function wrote into them since, which whoever takes up its value later does not get."""
        if self._compute is None:
            return False
        try:
            return self._compute() != self.digest
        except UnserializableError:
            return True


def _bound_to(function: Any) -> Any:
    """Return the object whose method a function is, or the callable object itself; None for a plain function."""
    owner = None if isinstance(function, FunctionType) else getattr(function, "__self__", function)
    return None if isinstance(owner, ModuleType) else owner


def counted(flow_run: FlowRunContext, key: str, digest: str) -> str:
    """Return the dynamic key of the next call with these inputs."""
    digits = digest[:KEY_DIGITS]
    return f"{digits}-{flow_run.next_key(f'{key}:{digits}')}"


def why_not_compared(error: UnserializableError) -> str:
    """Return the line in the log of a run that no earlier one can stand for."""
    return f"It is not known whether an earlier attempt did this already, so it runs: {error}."


def is_done(answer: Answer) -> bool:
    """Whether the run that exists under this key completed with a result that can be read."""
    state = answer.state
    return state is not None and state.is_completed() and state.data is not None


def cannot_change(value: Any) -> bool:
    """Whether nobody can write into an argument, so that it need not be compared after the call."""
    kind = type(value)
    if kind in _CONSTANT:
        return True
    parts = _parts_of_frozen(value, kind)
    return parts is not None and (_CONSTANT.issuperset(map(type, parts)) or all(map(cannot_change, parts)))


def _parts_of_frozen(value: Any, kind: Any) -> Collection[Any] | None:
    """Return what a value holds, if it gets no other parts."""
    if kind is frozenset:
        return tuple(value)
    if issubclass(kind, tuple):
        # Also a named one. A class of the user's own may have attributes besides.
        return None if hasattr(value, "__dict__") else tuple(tuple.__iter__(value))
    if issubclass(kind, Enum):
        return (value.value,)
    if hasattr(kind, "__pydantic_extra__"):
        is_closed = kind.model_config.get("frozen") and not value.__pydantic_private__
        return [*vars(value).values(), *(value.__pydantic_extra__ or {}).values()] if is_closed else None
    is_frozen = getattr(getattr(kind, "__dataclass_params__", None), "frozen", False)
    # One that is a list as well has parts of which its fields say nothing.
    if is_frozen and not hasattr(kind, "__iter__"):
        names = {field.name for field in dataclasses.fields(kind)}
        is_whole = names.issuperset(getattr(value, "__dict__", ()))
        return [getattr(value, name, None) for name in names] if is_whole else None
    return None


def marks_of(inputs: Inputs | None) -> dict[str, Any]:
    """Return what the reference to a value says of the call that it came from."""
    return {INPUTS_CHANGED: True} if inputs is not None and inputs.have_changed() else {}


def is_value_alone(state: State[Any]) -> bool:
    """Whether the call of this state also changed its arguments, which its value does not repeat for another call."""
    return is_record(state.data) and bool(state.data.get(INPUTS_CHANGED)) and state.name != CACHED


def recall(state: State[Any]) -> str | None:
    """Read the stored result of a completed state into it; returns what is wrong when it cannot be used."""
    if not is_record(state.data):
        return None
    if is_value_alone(state):
        return "the call changed its arguments, which its value does not repeat"
    if state.value is not UNSET:
        return None
    try:
        state.value = read_record(state.data)
    except Exception as error:
        return f"{type(error).__name__}: {as_text(error)}"
    return None
