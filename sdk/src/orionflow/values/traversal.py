"""A walk through arguments: futures and states are found in containers of all kinds, and replaced.

A container without anything to replace is returned unchanged. `containers` knows how each kind is decomposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from orionflow.annotations import quote
from orionflow.errors import UsageError
from orionflow.values.containers import Apart, taken_apart

# Values of these types contain nothing else; most arguments have such a type, so that no walk is needed.
PLAIN = frozenset({int, float, str, bytes, bool, type(None), complex, bytearray, range, type, type(...)})
DEEP_ENOUGH = 100
# In longer collections, plain values are not visited one by one.
MANY = 1_000

Visit = Callable[[Any], Any]


class CannotReplace(UsageError):
    """A future is in a place where it cannot be replaced; the message names the place."""

    def __init__(self, holder: object, why: str) -> None:
        self._holder, self._why, self._path = type(holder).__name__, why, ""
        super().__init__()

    def within(self, label: str) -> None:
        """Prepend one step to the path of the place."""
        self._path = label + self._path

    def __str__(self) -> str:
        place = f"at {self._path.lstrip('.')} " if self._path else ""
        return (
            f"The value of a task run cannot be put {place}into a {self._holder} ({self._why}); "
            "hand the future over by itself, or its result."
        )


def are_plain(values: Iterable[Any]) -> bool:
    """Whether these values need no walk."""
    return all(type(value) in PLAIN for value in values)


def visit(value: Any, replacement: Visit, *, depth: int = DEEP_ENOUGH) -> Any:
    """Return `value` with everything inside it replaced by what `replacement` returns for it.

    If `replacement` returns an object unchanged, the walk continues inside it. Quoted values are left alone. Raise
    CannotReplace if a part of a container that cannot be recreated would have to be replaced.
    """
    return _Walk(replacement).through(value, depth)


def each(value: Any, look: Callable[[Any], None], *, depth: int = DEEP_ENOUGH) -> None:
    """Call `look` for everything inside a value, including plain values unless there are too many."""

    def see(inner: Any) -> Any:
        look(inner)
        return inner

    _Walk(see, sees_plain=True).through(value, depth)


def refuse_iterators(value: Any) -> None:
    """Raise TypeError if the value contains an iterator: recording its elements would exhaust it."""

    def look(part: Any) -> Any:
        if isinstance(part, Iterator):
            raise TypeError(f"a {type(part).__name__} can be gone through only once")
        return part

    visit(value, look)


class _Walk:
    def __init__(self, replacement: Visit, *, sees_plain: bool = False) -> None:
        self._replacement = replacement
        self._sees_plain = sees_plain
        # Values that were visited are not visited again, as small structures with shared parts have very many paths.
        # Each value is kept with its replacement, because ids are reused.
        self._seen: dict[int, tuple[Any, Any]] = {}
        # A structure may contain itself; a value that is still open further up is returned unchanged.
        self._open: set[int] = set()
        self._holding_themselves: set[int] = set()

    def through(self, value: Any, depth: int) -> Any:
        if type(value) in PLAIN and not self._sees_plain:
            return value
        found = self._replacement(value)
        if found is not value:
            return found
        if depth <= 0 or type(value) in PLAIN or isinstance(value, quote):
            return value
        key = id(value)
        if key in self._seen:
            return self._seen[key][1]
        if key in self._open:
            self._holding_themselves.add(key)
            return value
        return self._inside(value, key, depth - 1)

    def _inside(self, value: Any, key: int, depth: int) -> Any:
        apart = taken_apart(value)
        if apart is None:
            return value
        self._open.add(key)
        try:
            parts = self._parts(apart, depth)
        finally:
            self._open.discard(key)
        became = value if parts is None else self._together(value, key, apart, parts)
        self._seen[key] = value, became
        return became

    def _parts(self, apart: Apart, depth: int) -> list[Any] | None:
        """Return the parts after the walk; None if all are unchanged."""
        skip_plain = not self._sees_plain or len(apart.parts) > MANY
        parts, changed = [], False
        for index, old in enumerate(apart.parts):
            if skip_plain and type(old) in PLAIN:
                parts.append(old)
                continue
            try:
                new = self.through(old, depth)
            except CannotReplace as error:
                error.within(apart.label(index))
                raise
            changed = changed or new is not old
            parts.append(new)
        return parts if changed else None

    def _together(self, value: Any, key: int, apart: Apart, parts: list[Any]) -> Any:
        if key in self._holding_themselves:
            raise CannotReplace(value, "it holds itself")
        try:
            return apart.together(parts)
        except Exception as error:
            raise CannotReplace(value, f"{type(error).__name__}: {error}") from error
