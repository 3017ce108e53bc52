"""Cache keys: what makes two runs of a task the same run."""

from __future__ import annotations

import hashlib
import inspect
from types import CodeType
from typing import TYPE_CHECKING, Any

from orionflow.errors import UnserializableError

if TYPE_CHECKING:
    from orionflow.context import TaskRunContext


def task_input_hash(context: TaskRunContext, arguments: dict[str, Any]) -> str | None:
    """A cache key from a task's code and its arguments: `@task(cache_key_fn=task_input_hash)`.

    Arguments are compared by value: plain ones and collections of them as they are, others by their pickle. When they
    cannot be compared there is no key, a warning says so, and the task runs.
    """
    try:
        return hash_of(context.task.task_key, code_of(context.task.fn), arguments)
    except UnserializableError as error:
        from orionflow.logging import get_run_logger

        get_run_logger().warning("This run is not cached: %s", error)
        return None


def hash_of(*values: Any) -> str:
    """A digest that is the same for equal values in every process; raises UnserializableError when there is none."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(_canonical(value))
        digest.update(b"\x1f")
    return digest.hexdigest()


def code_of(function: Any) -> str:
    """The function's source, or the bytecode where there is none to read: a changed function is another one."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return repr(function) if code is None else repr(_parts_of(code))


def _parts_of(code: CodeType) -> tuple[object, ...]:
    """Instructions, and the constants and names that they mean; without places in memory or in files."""
    constants = tuple(_constant(one) for one in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames


def _constant(value: object) -> object:
    if isinstance(value, CodeType):
        return _parts_of(value)
    # The order of a set differs from process to process.
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)


def _canonical(value: Any) -> bytes:
    tree = _tree(value, 0)
    if tree is not None:
        return b"t" + repr(tree).encode("utf-8", "surrogatepass")
    return b"p" + _pickled(value)


def _tree(value: Any, depth: int) -> Any:
    """The value with its types spelled out and its sets and dicts in order; None if there is more to it.

    1, 1.0 and True are equal in Python and not the same argument.
    """
    kind = type(value).__name__
    if depth > 50:
        return None
    match value:
        case None:
            return [kind]
        case bool() | int() | str():
            return [kind, str(value)] if type(value) in (bool, int, str) else None
        case float():
            return [kind, value.hex()]
        case list() | tuple():
            return _branch(kind, list(value), depth)
        case set() | frozenset():
            return _branch(kind, value, depth, ordered=True)
        case dict():
            return _branch(kind, [(key, part) for key, part in value.items()], depth, ordered=True)
    return None


def _branch(kind: str, parts: Any, depth: int, *, ordered: bool = False) -> Any:
    trees = [_tree(part, depth + 1) for part in parts]
    if any(tree is None for tree in trees):
        return None
    return [kind, *(sorted(trees, key=repr) if ordered else trees)]


def _pickled(value: Any) -> bytes:
    import cloudpickle

    try:
        once: bytes = cloudpickle.dumps(value)
        # A value whose pickle differs from that of its own copy (sets, open objects) cannot be recognised again.
        if cloudpickle.dumps(cloudpickle.loads(once)) != once:
            raise UnserializableError(_reason(value, "its pickle differs from copy to copy"))
    except UnserializableError:
        raise
    except Exception as error:
        raise UnserializableError(_reason(value, str(error))) from error
    return once


def _reason(value: Any, why: str) -> str:
    names = (
        ", ".join(f"{name}={type(part).__name__}" for name, part in value.items()) if isinstance(value, dict) else ""
    )
    return f"its arguments ({names or type(value).__name__}) cannot be hashed ({why}); give a cache_key_fn of your own."
