"""The identity of decorated functions: their source, their key, and their binding in a class."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from pathlib import Path
from types import CodeType, MethodType
from typing import Any

from orionflow.code.fetched_modules import plain_name
from orionflow.errors import UsageError
from orionflow.recordable import as_text, recordable_key

KEY_DIGITS = 8


class Binding:
    """The binding of a function in a class: to the instance, to the class, or none."""

    kind: Callable[[Any], Any] | None = None

    def __call__(self, fn: Any) -> Any:
        """Return the function in the form in which it was decorated."""
        return fn if self.kind is None else self.kind(fn)

    def bind(self, fn: Callable[..., Any], instance: object, owner: type | None) -> Callable[..., Any] | None:
        return None if instance is None else MethodType(fn, instance)


class _ToClass(Binding):
    kind = classmethod

    def bind(self, fn: Callable[..., Any], instance: object, owner: type | None) -> Callable[..., Any] | None:
        return MethodType(fn, owner or type(instance))


class _ToNothing(Binding):
    kind = staticmethod

    def bind(self, fn: Callable[..., Any], instance: object, owner: type | None) -> Callable[..., Any] | None:
        return None


def unwrapped(fn: Any, decorator: str) -> tuple[Callable[..., Any], Binding]:
    """Return the plain function in a decorated object, and its binding in a class."""
    if isinstance(fn, classmethod):
        return fn.__func__, _ToClass()
    if isinstance(fn, staticmethod):
        return fn.__func__, _ToNothing()
    if not callable(fn):
        raise UsageError(f"@{decorator} decorates a function, not {fn!r}.")
    return fn, Binding()


_decorated: weakref.WeakSet[CodeType] = weakref.WeakSet()


def note_decorated(fn: Callable[..., Any]) -> None:
    """Remember a function by its code, to recognize later that it was called without a run."""
    code = getattr(fn, "__code__", None)
    if isinstance(code, CodeType):
        _decorated.add(code)


def is_decorated(code: CodeType) -> bool:
    return code in _decorated


def name_of_function(fn: Callable[..., Any]) -> str:
    name = as_text(getattr(fn, "__name__", type(fn).__name__))
    return "lambda" if name == "<lambda>" else name


def key_of_function(fn: Callable[..., Any]) -> str:
    """Return the key of a function, equal in every process: its name, and a digest of where it is defined."""
    import hashlib

    name = as_text(getattr(fn, "__qualname__", type(fn).__qualname__))
    # The API accepts keys of up to 1,300 bytes.
    digest = hashlib.sha256(f"{_origin(fn)}:{name}".encode(errors="surrogatepass")).hexdigest()
    return f"{recordable_key(name)}-{digest[:KEY_DIGITS]}"


def _origin(fn: Callable[..., Any]) -> str:
    module = plain_name(getattr(fn, "__module__", None) or "unknown")
    if module not in {"__main__", "__mp_main__"}:
        return module
    file = getattr(getattr(fn, "__code__", None), "co_filename", None)
    return Path(file).stem if file else module


def version_of_file(fn: Callable[..., Any]) -> str | None:
    """Return a digest of the file that defines the function, which changes with any change of the file."""
    import hashlib

    try:
        file = inspect.getsourcefile(fn)
        content = Path(file).read_bytes() if file else None
    except (OSError, TypeError):
        return None
    return None if content is None else hashlib.md5(content, usedforsecurity=False).hexdigest()


def is_async_function(function: Callable[..., Any]) -> bool:
    """Whether a call returns something to await or to iterate over asynchronously."""
    candidates = [function] if inspect.isroutine(function) else [function, type(function).__call__]
    return any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in candidates)
