"""Digests of values: the same for equal values in every process, and different for all other values.

Values are equal if they have the same types on all levels and the same content; only the order in dicts and sets does
not count. Objects are compared by the name of their type and the state that pickle would keep, functions by their code,
defaults and enclosed variables. Objects that only have an identity (locks, connections, iterators) have no digest.
"""

from __future__ import annotations

import copyreg
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any
from uuid import UUID

from orionflow.errors import UnserializableError
from orionflow.values.digest_leaves import (
    PLAIN,
    arrow_parts,
    at_once,
    frame_parts,
    is_array_of_objects,
    is_arrow,
    is_frame,
    is_model,
    is_plain_array,
    joined,
    module_of,
    name_of,
    only_orders_work,
    pairs_at_once,
    plain,
    texts_of,
    without_caches,
    wrapped_by,
)
from orionflow.values.enclosed import Enclosed

# Values that may occur twice in one value are digested once; at most this many are remembered.
MOST_SHARED = 10_000
_NEVER = sys.maxsize
# Class attributes of these types hold settings; under other names Python and libraries keep notes about a class.
_CONTAINERS = frozenset({list, tuple, dict, set, frozenset})
_OF_NO_MEANING = frozenset({"__doc__", "__firstlineno__", "__module__", "__qualname__"})
_UNCHANGING = (
    *(int, float, complex, str, bytes, type(None), tuple, frozenset, type, Enum),
    *(date, time, timedelta, Decimal, UUID, PurePath),
    *(FunctionType, BuiltinFunctionType, ModuleType),
)


def digest_of(value: Any, enclosed: Enclosed | None = None) -> bytes:
    """Return the digest of a value; raise UnserializableError that names the part without one.

    With `enclosed`, variables that functions enclose count with the content that they had when first seen.
    """
    with _in_words():
        return _Walk(enclosed).of(value)


def digest_of_function(function: Any, enclosed: Enclosed | None = None) -> bytes:
    """Return the digest of a function's bound object and enclosed variables; of its code too if it is an object."""
    if isinstance(function, MethodType):
        return joined("bound", digest_of(function.__self__), digest_of_function(function.__func__, enclosed))
    if isinstance(function, FunctionType):
        with _in_words():
            return _Walk(enclosed).cells(function)
    return joined("called", digest_of(function, enclosed), digest_of(type(function).__call__, enclosed))


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn any exception that a user's class raises during the inspection into UnserializableError."""
    try:
        yield
    except UnserializableError:
        raise
    except RecursionError:
        raise UnserializableError("it is nested too deeply") from None
    except Exception as error:
        raise UnserializableError(f"{type(error).__name__}: {error}") from error


class _Walk:
    """One pass through a value and everything in it."""

    def __init__(self, enclosed: Enclosed | None) -> None:
        self._enclosed = enclosed
        self._open: dict[int, int] = {}
        self._known: dict[int, tuple[Any, bytes]] = {}
        # The outermost open value that an inner one refers back to: up to that, digests depend on the path.
        self._back_to = _NEVER

    def of(self, value: Any) -> bytes:
        kind = type(value)
        if kind in PLAIN:
            return joined(kind.__name__, plain(value))
        key = id(value)
        if (known := self._known.get(key)) is not None:
            return known[1]
        depth = len(self._open)
        if (above := self._open.get(key)) is not None:
            self._back_to = min(self._back_to, above)
            return joined("itself", str(depth - above).encode())
        outer, self._back_to = self._back_to, _NEVER
        self._open[key] = depth
        try:
            digest = self._inside(value, kind)
        finally:
            del self._open[key]
        if self._back_to >= depth:
            self._back_to = _NEVER
            if len(self._known) < MOST_SHARED:
                self._known[key] = (value, digest)
        self._back_to = min(outer, self._back_to)
        return digest

    def _inside(self, value: Any, kind: type) -> bytes:
        if kind is list or kind is tuple:
            return joined(kind.__name__, at_once(value) or self._all(value))
        if kind is set or kind is frozenset:
            return joined(kind.__name__, self._unordered(value))
        if kind is dict:
            return joined("dict", pairs_at_once(value) or self._unordered(value.items()))
        if kind is bytearray:
            return joined("bytearray", bytes(value))
        if kind is range:
            return joined("range", repr((len(value), *value[:1], *value[1:2])).encode())
        if kind is MappingProxyType:
            return joined("mappingproxy", self._unordered(value.items()))
        if isinstance(value, type | FunctionType | BuiltinFunctionType | MethodType | CodeType | ModuleType):
            return self._code(value)
        return self._object(value, kind)

    def _all(self, parts: Iterable[Any]) -> bytes:
        return b"".join([self.of(part) for part in parts])

    def _unordered(self, parts: Any) -> bytes:
        """Return the digest of parts whose order differs between processes, or has no meaning."""
        if (texts := texts_of(parts)) is not None:
            return "\n".join(sorted(texts)).encode()
        return b"".join(sorted(self.of(part) for part in parts))

    def _object(self, value: Any, kind: type) -> bytes:
        name = self.of(kind)
        if isinstance(value, Enum):
            # Two classes may have one name, such as before and after a change; members of one name differ by their
            # values.
            return joined("enum", name, (value.name or "").encode(), self._member(value.value))
        if kind is object:
            raise UnserializableError("an object() has nothing but its identity")
        if isinstance(value, Iterator):
            raise UnserializableError(f"a {kind.__name__} can be gone through only once")
        if kind.__module__ in ("orionflow.tasks", "orionflow.flows") and hasattr(value, "fn"):
            return joined("run", name, self.of(value.fn))
        if isinstance(value, set | frozenset):
            return joined("set", name, self._unordered(set(value)), self.of(getattr(value, "__dict__", None)))
        if isinstance(value, OrderedDict):
            return joined("ordered", name, self._all(value.items()), self.of(vars(value)))
        if is_model(value):
            fields = (value.__dict__, value.__pydantic_extra__, value.__pydantic_private__)
            return joined("model", name, self._all((without_caches(kind, fields[0]), *fields[1:])))
        if is_plain_array(value):
            return joined("array", value.dtype.str.encode(), repr(value.shape).encode(), value.tobytes())
        if is_array_of_objects(value):
            # The pickle says in which order they lie in memory.
            return joined("objects", repr(value.shape).encode(), self.of(value.ravel().tolist()))
        if is_arrow(value) and (parts := arrow_parts(value)) is not None:
            return joined("arrow", name, repr(len(value)).encode(), *parts)
        if is_frame(value):
            return joined("frame", name, self._all(frame_parts(value)))
        return joined("object", name, self._reduced(value, kind))

    def _reduced(self, value: Any, kind: type) -> bytes:
        """Return the digest of the parts of an object that pickle would keep."""
        try:
            reduced: Any
            reduce = copyreg.dispatch_table.get(kind)
            reduced = reduce(value) if reduce is not None else value.__reduce_ex__(4)
        except RecursionError:
            raise
        except Exception as error:
            raise UnserializableError(str(error) or f"a {kind.__name__} cannot be pickled") from error
        if isinstance(reduced, str):
            return joined("name", module_of(value).encode(), reduced.encode(), self.of(wrapped_by(value)))
        make, args, state, items, pairs = (*reduced, None, None, None)[:5]
        # These functions only differ in their arguments.
        maker = name_of(make) if module_of(make) == "copyreg" else self.of(make)
        if type(state) is dict:
            # A lock among the fields does not count as content.
            state = {name: type(part) if only_orders_work(part) else part for name, part in state.items()}
            state = without_caches(kind, state)
        return joined("reduced", maker, self._all((args, state, list(items or ()))), self._unordered(list(pairs or ())))

    def _code(self, value: Any) -> bytes:
        match value:
            case FunctionType():
                return self._function(value)
            case MethodType():
                return joined("method", self._all((value.__self__, value.__func__)))
            case CodeType():
                names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
                counts = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags)
                parts = (value.co_code, value.co_consts, value.co_exceptiontable, names, counts)
                return joined("code", self._all(parts))
            case ModuleType():
                return joined("module", value.__name__.encode())
            case type():
                return joined("class", name_of(value), self._members(value))
        owner = value.__self__
        whose = b"" if owner is None or isinstance(owner, ModuleType) else self.of(owner)
        return joined("builtin", name_of(value), whose)

    def _function(self, value: FunctionType) -> bytes:
        parts = (value.__code__, value.__defaults__, value.__kwdefaults__)
        own = value.__dict__
        # `__wrapped__` is not remembered with the other attributes, or changes in variables that the wrapped function
        # encloses would be hidden. Functions do not set it while they run.
        wrapped = [self._member(own["__wrapped__"])] if "__wrapped__" in own else []
        return joined("function", name_of(value), self._all(parts), self.cells(value), *wrapped, *self._written(own))

    def _written(self, own: dict[str, Any]) -> list[bytes]:
        """Return the digest of a function's attributes, which may include counters of its calls."""
        if self._enclosed is not None and (known := self._enclosed.get(own)) is not None:
            return [known] if known else []
        outer, self._back_to = self._back_to, _NEVER
        written = [joined(name, self._member(part)) for name, part in sorted(own.items()) if name != "__wrapped__"]
        digest = joined("written", *written) if written else b""
        if self._enclosed is not None and self._back_to == _NEVER:
            self._enclosed.keep(own, digest)
        self._back_to = min(outer, self._back_to)
        return [digest] if digest else []

    def cells(self, function: FunctionType) -> bytes:
        """Return the digest of the enclosed variables that a function uses."""
        return joined("cells", *[self._cell(cell) for cell in function.__closure__ or ()])

    def _cell(self, cell: Any) -> bytes:
        try:
            value = cell.cell_contents
        except ValueError:
            return joined("empty")
        if only_orders_work(value):
            return joined("orders", name_of(type(value)))
        if self._enclosed is None or isinstance(value, _UNCHANGING):
            return self.of(value)
        if (digest := self._enclosed.get(value)) is None:
            digest = self.of(value)
            if self._back_to == _NEVER:
                self._enclosed.keep(value, digest)
        return digest

    def _members(self, kind: type) -> bytes:
        """Return digests of the content of a class that a function creates: each call creates one of the same name."""
        if "<locals>" not in kind.__qualname__:
            return b""
        members = [member for base in kind.__bases__ if (member := self._members(base))]
        for name, value in sorted(vars(kind).items()):
            inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
            if self._distinguishes(kind, name, inner):
                members.append(joined(name, self._member(inner)))
        return b"".join(members)

    def _distinguishes(self, kind: type, name: str, member: Any) -> bool:
        """Whether a member distinguishes the class from another one."""
        if type(member) in _CONTAINERS:
            return not (name.startswith("__") or issubclass(kind, Enum))
        return name not in _OF_NO_MEANING and (type(member) in PLAIN or isinstance(member, FunctionType))

    def _member(self, value: Any) -> bytes:
        before = self._back_to
        try:
            return self.of(value)
        except UnserializableError:
            # Some attributes that decorators add to a class cannot be compared; the others can.
            self._back_to = before
            return b""
