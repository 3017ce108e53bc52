"""Values as pickles for another process: functions keep the file and the line of their code.

A task's function that a module holds goes by reference, as Python's own pickle does it with functions; the decorator in
its place would hide it. Where the module is missing, or has other code, the function itself comes along.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from io import BytesIO
from types import CodeType, FunctionType
from typing import Any

from orionflow.recordable import as_text


def dumps(value: Any, *, by_reference: bool = False) -> bytes:
    """The pickle of nearly any value. `by_reference` is for what is read at once, by a process of the same program."""
    file = BytesIO()
    _pickler()(file, by_reference).dump(value)
    return file.getvalue()


def loads(content: bytes) -> Any:
    import cloudpickle

    return cloudpickle.loads(content)


@cache
def _pickler() -> Callable[..., Any]:
    from cloudpickle import CloudPickler

    of_code = CloudPickler.dispatch_table[CodeType]

    def reduced(code: CodeType) -> Any:
        # Newer versions of cloudpickle leave the file out, and with it all that a traceback could say.
        rebuild, arguments = of_code(code)
        return _code_of_file, (rebuild, arguments, code.co_filename)

    class Pickler(CloudPickler):  # type: ignore[misc]
        dispatch_table = CloudPickler.dispatch_table.new_child({CodeType: reduced})

        def __init__(self, file: BytesIO, by_reference: bool) -> None:
            super().__init__(file)
            self._by_reference = by_reference

        def reducer_override(self, value: Any) -> Any:
            if self._by_reference and type(value) is FunctionType and _is_held_by_module(value):
                return _found_again, (value.__module__, value.__qualname__, _digest(value), dumps(value))
            return super().reducer_override(value)

    return Pickler


def _code_of_file(rebuild: Callable[..., CodeType], arguments: tuple[Any, ...], filename: str) -> CodeType:
    return rebuild(*arguments).replace(co_filename=filename)


def _is_held_by_module(fn: FunctionType) -> bool:
    """Whether another process finds this function behind the flow or task that a module has under its name."""
    if fn.__module__ in (None, "__main__", "__mp_main__") or fn.__closure__ or _goes_by_value(fn.__module__):
        return False
    module = sys.modules.get(fn.__module__)
    held = _held(module, fn.__qualname__)
    return held is not fn and getattr(held, "fn", None) is fn


def _goes_by_value(module: str) -> bool:
    from cloudpickle import list_registry_pickle_by_value

    registered: set[str] = list_registry_pickle_by_value()
    parts = module.split(".")
    return any(".".join(parts[:count]) in registered for count in range(1, len(parts) + 1))


def _held(holder: Any, qualname: str) -> Any:
    for name in qualname.split("."):
        holder = getattr(holder, name, None)
    return holder


def _found_again(module: str, qualname: str, digest: str, by_value: bytes) -> Any:
    try:
        fn = getattr(_held(import_module(module), qualname), "fn", None)
    except Exception:
        fn = None
    # A module of this name may be another one here, or another version.
    if type(fn) is FunctionType and _digest(fn) == digest:
        return fn
    return loads(by_value)


def _digest(fn: FunctionType) -> str:
    return hashlib.sha256(repr(_parts(fn.__code__)).encode("utf-8", "surrogatepass")).hexdigest()


def _parts(code: CodeType) -> tuple[Any, ...]:
    constants = [_parts(one) if isinstance(one, CodeType) else _constant(one) for one in code.co_consts]
    return code.co_code, code.co_names, code.co_varnames, code.co_firstlineno, constants


def _constant(value: Any) -> str:
    # The order of a set differs from process to process.
    return as_text(sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value))
