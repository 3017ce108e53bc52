"""Which run of an earlier attempt a call reuses: that of the same task or subflow with the same inputs.

The key under which a flow run records a call contains the digest of the inputs, so the next attempt finds the run in
whatever order it makes its calls; calls with the same inputs are numbered. Without a digest, calls are only numbered,
and a run with a stored result is never reused.
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

from orionflow.contract.states import CACHED
from orionflow.errors import UnserializableError
from orionflow.recordable import as_text
from orionflow.reporting.items import Answer
from orionflow.results import INPUTS_CHANGED, read_record
from orionflow.states import UNSET, State, is_record
from orionflow.values.traversal import PLAIN

if TYPE_CHECKING:
    from orionflow.context import FlowRunContext

# Shorter than a cache key; digests do not agree in this many digits by chance.
KEY_DIGITS = 40
# Types whose values no function can change.
_CONSTANT = PLAIN - {bytearray, type} | {date, datetime, time, timedelta, Decimal, UUID, type(Path())}


class Inputs:
    """The inputs of a call before it runs: its arguments, and the object that its function is bound to.

    Raises UnserializableError if they cannot be compared.
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
        # Imported here, because most flows never need it.
        from orionflow.caching import hash_of_call

        compute = partial(hash_of_call, function, arguments, key=key, version=version, enclosed=flow_run.enclosed)
        self.digest: str = compute()
        is_fixed = all(map(cannot_change, (_bound_to(function), *arguments.values())))
        self._compute = None if is_fixed else compute

    def have_changed(self) -> bool:
        """Whether the function has changed the inputs, a change that a later reuse of its value would not repeat."""
        if self._compute is None:
            return False
        try:
            return self._compute() != self.digest
        except UnserializableError:
            return True


def _bound_to(function: Any) -> Any:
    """Return the object that a method is bound to, or the callable object itself; None for a plain function."""
    owner = None if isinstance(function, FunctionType) else getattr(function, "__self__", function)
    return None if isinstance(owner, ModuleType) else owner


def counted(flow_run: FlowRunContext, key: str, digest: str) -> str:
    """Return the dynamic key of the next call with these inputs."""
    digits = digest[:KEY_DIGITS]
    return f"{digits}-{flow_run.next_key(f'{key}:{digits}')}"


def why_not_compared(error: UnserializableError) -> str:
    """Return the log message for a run that cannot be compared with earlier ones."""
    return f"It is not known whether an earlier attempt did this already, so it runs: {error}."


def is_done(answer: Answer) -> bool:
    """Whether the run under this key completed with a result that can be read."""
    state = answer.state
    return state is not None and state.is_completed() and state.data is not None


def cannot_change(value: Any) -> bool:
    """Whether no code can change an argument, so that it need not be compared after the call."""
    kind = type(value)
    if kind in _CONSTANT:
        return True
    parts = _parts_of_frozen(value, kind)
    return parts is not None and (_CONSTANT.issuperset(map(type, parts)) or all(map(cannot_change, parts)))


def _parts_of_frozen(value: Any, kind: Any) -> Collection[Any] | None:
    """Return the parts of a frozen value; None if other parts could be assigned or added."""
    if kind is frozenset:
        return tuple(value)
    if issubclass(kind, tuple):
        # Includes named tuples. An instance of a user's subclass may have attributes as well.
        return None if hasattr(value, "__dict__") else tuple(tuple.__iter__(value))
    if issubclass(kind, Enum):
        return (value.value,)
    if hasattr(kind, "__pydantic_extra__"):
        is_closed = kind.model_config.get("frozen") and not value.__pydantic_private__
        return [*vars(value).values(), *(value.__pydantic_extra__ or {}).values()] if is_closed else None
    is_frozen = getattr(getattr(kind, "__dataclass_params__", None), "frozen", False)
    # A frozen dataclass that is also a list has elements that are not among its fields.
    if is_frozen and not hasattr(kind, "__iter__"):
        names = {field.name for field in dataclasses.fields(kind)}
        is_whole = names.issuperset(getattr(value, "__dict__", ()))
        return [getattr(value, name, None) for name in names] if is_whole else None
    return None


def marks_of(inputs: Inputs | None) -> dict[str, Any]:
    """Return the fields that the reference to a value gets because of its call."""
    return {INPUTS_CHANGED: True} if inputs is not None and inputs.have_changed() else {}


def is_value_alone(state: State[Any]) -> bool:
    """Whether the call of this state also changed its arguments, which reusing its value does not repeat."""
    # Where the state came from a cache, the changes were not made in this flow run.
    return is_record(state.data) and bool(state.data.get(INPUTS_CHANGED)) and state.name != CACHED


def recall(state: State[Any]) -> str | None:
    """Read the stored result of a completed state into it; return the reason if it cannot be used."""
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
