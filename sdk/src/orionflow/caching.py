"""Cache keys: digests of a task's code and arguments, by which runs share results."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from types import FunctionType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from orionflow.errors import UnserializableError
from orionflow.values.digests import digest_of, digest_of_function
from orionflow.values.enclosed import Enclosed
from orionflow.values.weights import weight_of

if TYPE_CHECKING:
    from orionflow.context import TaskRunContext
    from orionflow.tasks import Task


def task_input_hash(context: TaskRunContext, arguments: dict[str, Any]) -> str | None:
    """Compute a cache key from a task and its arguments: `@task(cache_key_fn=task_input_hash)`.

    - `context`: the context of the task run.
    - `arguments`: the arguments of the call, by name.

    The key includes the task's code, version, enclosed variables and bound object, and the types and contents of the
    arguments. If something cannot be compared, it is `None`: a warning says so, and the task runs.
    """
    try:
        task: Task[Any, Any] = context.task
        return hash_of_call(task.fn, arguments, key=task.task_key, version=task.version)
    except UnserializableError as error:
        from orionflow.logging import get_run_logger

        get_run_logger().warning("This run is not cached: %s; give a cache_key_fn of your own.", error)
        return None


def hash_of_call(
    function: Callable[..., Any],
    arguments: dict[str, Any],
    *,
    key: str,
    version: str | None = None,
    enclosed: Enclosed | None = None,
) -> str:
    """Return a digest of a call of a function; raise UnserializableError, which names the value that cannot be hashed.

    `key` and `version` are those of the task. `enclosed` remembers the enclosed variables of functions that are defined
    again and again, as in the body of a flow.
    """
    try:
        own = _enclosed_by(function)
        around = digest_of_function(function, own if enclosed is None else enclosed.with_those_of(own))
    except UnserializableError as error:
        raise UnserializableError(f"what the function encloses or is bound to cannot be hashed ({error})") from None
    return hash_of(key, version, code_of(function), around, _ByName(arguments))


# In bytes. The digest of a larger argument is not computed again only to be shown.
MOST_BYTES = 1_000_000
MOST_INPUTS = 100
DIGITS = 12


def digests_of_inputs(arguments: dict[str, Any]) -> dict[str, str]:
    """Return the first digits of the digest of each argument, by name; equal values have the same in every process.

    An argument that is large or cannot be hashed is described by its type alone.
    """
    return {name: _digest_shown(value) for name, value in list(arguments.items())[:MOST_INPUTS]}


def _digest_shown(value: Any) -> str:
    if weight_of(value) <= MOST_BYTES:
        with suppress(UnserializableError):
            return digest_of(value).hex()[:DIGITS]
    return type(value).__name__


class _ByName:
    """Arguments whose names and types are in the error if one of them cannot be hashed."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.arguments = arguments

    def digest(self) -> bytes:
        try:
            return digest_of(self.arguments)
        except UnserializableError as error:
            names = ", ".join(f"{name}={type(value).__name__}" for name, value in self.arguments.items())
            raise UnserializableError(f"its arguments ({names}) cannot be hashed ({error})") from None


def hash_of(*values: Any) -> str:
    """Return a digest that is the same for equal values in every process; raise UnserializableError if one has none."""
    digest = sha256()
    for value in values:
        digest.update(value.digest() if isinstance(value, _ByName) else digest_of(value))
    return digest.hexdigest()


_codes: WeakKeyDictionary[FunctionType, str] = WeakKeyDictionary()
_enclosed: WeakKeyDictionary[FunctionType, Enclosed] = WeakKeyDictionary()


def _enclosed_by(function: Any) -> Enclosed:
    function = getattr(function, "__func__", function)
    return _enclosed.setdefault(function, Enclosed()) if isinstance(function, FunctionType) else Enclosed()


def code_of(function: Any) -> str:
    """Return the function's source, or its bytecode if the source is not available; a changed function has another."""
    function = getattr(function, "__func__", function)
    if not isinstance(function, FunctionType):
        return ""
    # Read once: the file may be edited while the program runs, which does not change the running code.
    if (known := _codes.get(function)) is None:
        known = _codes[function] = _code_of(function)
    return known


def _code_of(function: FunctionType) -> str:
    if function.__name__ == "<lambda>" or hasattr(function, "__wrapped__"):
        # The source of a lambda may share its line with others, and that of a decorated function lacks the decorator.
        return digest_of(function.__code__).hex()
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return digest_of(function.__code__).hex()
