"""Pickles of values for other processes, in which functions keep the file and the line of their code.

A task's function is pickled by reference to its module, as Python pickles functions, although the decorated object has
taken its name there. If the module is missing or has other code, the function itself is used.
"""

from __future__ import annotations

import copyreg
import hashlib
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from io import BytesIO
from types import BuiltinFunctionType, CodeType, FunctionType, MethodDescriptorType, WrapperDescriptorType
from typing import Any

from orionflow.recordable import as_text


def dumps(value: Any, *, by_reference: bool = False) -> bytes:
    """Return a pickle of nearly any value. `by_reference`: it is read at once, by a process of the same program."""
    file = BytesIO()
    _pickler()(file, by_reference).dump(value)
    return file.getvalue()


def loads(content: bytes) -> Any:
    import cloudpickle

    return cloudpickle.loads(content)  # nosemgrep: objects-from-bytes (its callers unseal it)


@cache
def _pickler() -> Callable[..., Any]:
    from cloudpickle import CloudPickler

    of_code = CloudPickler.dispatch_table[CodeType]

    def reduced(code: CodeType) -> Any:
        # Newer versions of cloudpickle omit the file, without which tracebacks show no source.
        rebuild, arguments = of_code(code)
        return _code_of_file, (rebuild, arguments, code.co_filename)

    class Pickler(CloudPickler):  # type: ignore[misc]
        dispatch_table = CloudPickler.dispatch_table.new_child({CodeType: reduced})

        def __init__(self, file: BytesIO, by_reference: bool) -> None:
            super().__init__(file)
            self._by_reference = by_reference

        def reducer_override(self, value: Any) -> Any:
            if is_declared(value):
                # Its parts are pickled separately, as they may refer to it.
                return _empty, (type(value),), _state_of(value)
            if _is_plain_error(value):
                # Its class may have an attribute `args` of its own.
                new = type(value), *vars(BaseException)["args"].__get__(value)
                return BaseException.__new__, new, _attributes_of(value), None, None, _set_attributes
            if isinstance(value, BaseException) and (made := _made_by_base(value)) is not None:
                return *made, None, None, _set_fields
            if self._by_reference and type(value) is FunctionType and _is_held_by_module(value):
                return _found_again, (value.__module__, value.__qualname__, _digest(value), dumps(value))
            return super().reducer_override(value)

    return Pickler


# The flag of classes that Python code made.
_HEAP_TYPE = 1 << 9


def _is_plain_error(value: Any) -> bool:
    """Whether this is an exception of a class with an `__init__` of its own, and `args` and attributes are all of it.

    Python calls such a class with `args` again, which are often not the parameters of its `__init__`.
    """
    kind = type(value)
    return (
        issubclass(kind, BaseException)
        and type(kind.__init__) is FunctionType
        and kind.__reduce__ is BaseException.__reduce__
        and kind.__reduce_ex__ is BaseException.__reduce_ex__
        and kind.__setstate__ is BaseException.__setstate__
        and all(_adds_only_attributes(one) for one in kind.__mro__)
    )


def _adds_only_attributes(kind: type) -> bool:
    if kind.__flags__ & _HEAP_TYPE:
        return True
    # A built-in class with fields, such as that of SyntaxError, is larger.
    return kind is object or kind.__basicsize__ == BaseException.__basicsize__


def _made_by_base(error: BaseException) -> tuple[Any, ...] | None:
    """Reduce an exception whose class has parameters of its own, and a base that is written in C and has fields.

    Return a function that makes it with the `__new__` and `__init__` of that base, its arguments, and the fields and
    slots to set. Return None if the class is not such a one, or cannot be made like this.
    """
    kind = type(error)
    of_c: Any = next(one for one in kind.__mro__ if type(vars(one).get("__reduce__")) is MethodDescriptorType)
    has_own_parameters = FunctionType in (type(kind.__init__), type(kind.__new__))
    is_reduced_by_c = kind.__reduce__ is of_c.__reduce__ and kind.__reduce_ex__ is object.__reduce_ex__
    if not has_own_parameters or not is_reduced_by_c or kind.__setstate__ is not BaseException.__setstate__:
        return None
    reduced: Any = error.__reduce__()
    _, args, *state = reduced
    try:
        _new_error(kind, *args)
    except Exception:
        return None
    return _new_error, (kind, *args), ((state and state[0]) or {}, _attributes_of(error)[1])


def _new_error(kind: type[BaseException], *args: Any) -> BaseException:
    new = next(one for one in kind.__mro__ if type(vars(one).get("__new__")) is BuiltinFunctionType)
    init = next(one for one in kind.__mro__ if type(vars(one).get("__init__")) is WrapperDescriptorType)
    error: BaseException = vars(new)["__new__"](kind, *args)
    vars(init)["__init__"](error, *args)
    return error


def _set_fields(error: BaseException, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    # Also those of a frozen dataclass.
    for fields in state:
        for name, value in fields.items():
            object.__setattr__(error, name, value)


def _attributes_of(error: BaseException) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the attributes of the exception, and those that are kept in slots."""
    slots = copyreg._slotnames(type(error))  # type: ignore[attr-defined]
    return vars(error), {name: getattr(error, name) for name in slots if hasattr(error, name)}


def _set_attributes(error: BaseException, attributes: tuple[dict[str, Any], dict[str, Any]]) -> None:
    # Also those of a frozen dataclass.
    own, slots = attributes
    vars(error).update(own)
    for name, value in slots.items():
        object.__setattr__(error, name, value)


def is_declared(value: Any) -> bool:
    """Whether this is a flow or a task."""
    return type(value) in _declared_types()


@cache
def _declared_types() -> frozenset[type]:
    from orionflow.flows import Flow
    from orionflow.tasks import Task

    return frozenset({Flow, Task})


def _empty(kind: Any) -> Any:
    return kind.__new__(kind)


def _state_of(declared: Any) -> dict[str, Any]:
    # The model of its parameters is recreated when it is needed.
    return {name: part for name, part in vars(declared).items() if name != "_model"}


def reduced(declared: Any) -> tuple[Any, ...]:
    """Reduce a flow or task for Python's own pickle to a copy, and a reference to its module if that holds it."""
    module, qualname = declared.__module__, declared.__qualname__
    is_held = _held(sys.modules.get(module), qualname) is declared
    try:
        by_value = dumps(declared)
    except Exception:
        if not is_held:
            raise
        by_value = b""
    return _declared_again, (module if is_held else None, qualname, by_value)


def _declared_again(module: str | None, qualname: str, by_value: bytes) -> Any:
    if not by_value and module is not None:
        return _held(import_module(module), qualname)
    declared = loads(by_value)
    if module is None:
        return declared
    try:
        there = _held(import_module(module), qualname)
    except Exception:
        return declared
    is_same = type(there) is type(declared) and _code_of(there) == _code_of(declared)
    return there if is_same else declared


def _code_of(declared: Any) -> str | None:
    return _digest(declared.fn) if type(declared.fn) is FunctionType else None


def _code_of_file(rebuild: Callable[..., CodeType], arguments: tuple[Any, ...], filename: str) -> CodeType:
    return rebuild(*arguments).replace(co_filename=filename)


def _is_held_by_module(fn: FunctionType) -> bool:
    """Whether another process can find this function through the flow or task of its name in its module."""
    if fn.__module__ in (None, "__main__", "__mp_main__") or fn.__closure__ or _is_pickled_by_value(fn.__module__):
        return False
    module = sys.modules.get(fn.__module__)
    held = _held(module, fn.__qualname__)
    return held is not fn and getattr(held, "fn", None) is fn


def _is_pickled_by_value(module: str) -> bool:
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
    # The order of a set differs between processes.
    return as_text(sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value))
