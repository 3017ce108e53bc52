"""Digests of values: the same for the same value in every process, and another for every other value.

A value is the same when it is of the same type, all the way down, and holds the same; only the order in dicts and sets
does not count. Objects count by their type's name and what pickle would keep of them, functions by their code, their
defaults and what they enclose. What has nothing but its identity (locks, connections, iterators) has no digest.
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
    at_once,
    frame_parts,
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

# Values that can be found twice in one value are digested once; more of them than this are not remembered.
MOST_SHARED = 10_000
_NEVER = sys.maxsize
# What classes keep their settings in; under other names Python and libraries write down what they know of a class.
_CONTAINERS = frozenset({list, tuple, dict, set, frozenset})
_OF_NO_MEANING = frozenset({"__doc__", "__firstlineno__", "__module__", "__qualname__"})
_UNCHANGING = (
    *(int, float, complex, str, bytes, type(None), tuple, frozenset, type, Enum),
    *(date, time, timedelta, Decimal, UUID, PurePath),
    *(FunctionType, BuiltinFunctionType, ModuleType),
)


def digest_of(value: Any, enclosed: Enclosed | None = None) -> bytes:
    """Return the digest of a value; raise UnserializableError that names what has none.

    With `enclosed` what functions enclose counts as it was when it was first seen.
    """
    with _in_words():
        return _Walk(enclosed).of(value)


def digest_of_function(function: Any, enclosed: Enclosed | None = None) -> bytes:
    """Return the digest of what a function is bound to and encloses, and of its code if it is no plain function."""
    if isinstance(function, MethodType):
        return joined("bound", digest_of(function.__self__), digest_of_function(function.__func__, enclosed))
    if isinstance(function, FunctionType):
        with _in_words():
            return _Walk(enclosed).cells(function)
    return joined("called", digest_of(function, enclosed), digest_of(type(function).__call__, enclosed))


@contextmanager
def _in_words() -> Iterator[None]:
    """Whatever a user's class raises while it is looked at, its value has no digest."""
    try:
        yield
    except UnserializableError:
        raise
    except RecursionError:
        raise UnserializableError("it is nested too deeply") from None
    except Exception as error:
        raise UnserializableError(f"{type(error).__name__}: {error}") from error


class _Walk:
    """One way through a value and all that it holds."""

    def __init__(self, enclosed: Enclosed | None) -> None:
        self._enclosed = enclosed
        self._open: dict[int, int] = {}
        self._known: dict[int, tuple[Any, bytes]] = {}
        # The outermost of the open values that one inside refers back to: until there, digests depend on the way.
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
        """Parts whose order differs from process to process, or says nothing."""
        if (texts := texts_of(parts)) is not None:
            return "\n".join(sorted(texts)).encode()
        return b"".join(sorted(self.of(part) for part in parts))

    def _object(self, value: Any, kind: type) -> bytes:
        name = self.of(kind)
        if isinstance(value, Enum):
            # Of two classes with one name, as the one before and after a change, members of one name differ by value.
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
        if is_frame(value):
            return joined("frame", name, self._all(frame_parts(value)))
        return joined("object", name, self._reduced(value, kind))

    def _reduced(self, value: Any, kind: type) -> bytes:
        """Return the parts of an object that pickle would keep."""
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
        # All that differs between these functions is what they are given.
        maker = name_of(make) if module_of(make) == "copyreg" else self.of(make)
        if type(state) is dict:
            # A lock among the fields says nothing about the object.
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
        # Not written while functions work; remembered as it was, it would hide what the wrapped one encloses.
        wrapped = [self._member(own["__wrapped__"])] if "__wrapped__" in own else []
        return joined("function", name_of(value), self._all(parts), self.cells(value), *wrapped, *self._written(own))

    def _written(self, own: dict[str, Any]) -> list[bytes]:
        """Return what is written into a function, as into an object; counts of its calls are there as well."""
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
        """Return the variables of the functions around it that a function uses."""
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
        """Of a class that a function makes: its name alone does not tell it from the one of the next call."""
        if "<locals>" not in kind.__qualname__:
            return b""
        members = [member for base in kind.__bases__ if (member := self._members(base))]
        for name, value in sorted(vars(kind).items()):
            inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
            if self._tells(kind, name, inner):
                members.append(joined(name, self._member(inner)))
        return b"".join(members)

    def _tells(self, kind: type, name: str, member: Any) -> bool:
        """Whether a member says what makes the class another one."""
        if type(member) in _CONTAINERS:
            return not (name.startswith("__") or issubclass(kind, Enum))
        return name not in _OF_NO_MEANING and (type(member) in PLAIN or isinstance(member, FunctionType))

    def _member(self, value: Any) -> bytes:
        before = self._back_to
        try:
            return self.of(value)
        except UnserializableError:
            # Some of what decorators write into a class cannot be compared; the rest of it can.
            self._back_to = before
            return b""
