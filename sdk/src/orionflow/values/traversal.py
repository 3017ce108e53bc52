"""A walk through arguments: futures and states are found in whatever Python people keep things in, and replaced.

What holds nothing to replace is given back as the very same object. `containers` knows how each kind is taken apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from orionflow.annotations import quote
from orionflow.errors import UsageError
from orionflow.values.containers import Apart, taken_apart

# A value of one of these types holds nothing else; most arguments are of such a type, so the walk never begins.
PLAIN = frozenset({int, float, str, bytes, bool, type(None), complex, bytearray, range, type, type(...)})
DEEP_ENOUGH = 100
# In longer collections nobody looks at each number and text.
MANY = 1_000

Visit = Callable[[Any], Any]


class CannotReplace(UsageError):
    """A future is where no value can be put in its stead; the message names the place."""

    def __init__(self, holder: object, why: str) -> None:
        self._holder, self._why, self._path = type(holder).__name__, why, ""
        super().__init__()

    def within(self, label: str) -> None:
        """Put one step further out before the place."""
        self._path = label + self._path

    def __str__(self) -> str:
        place = f"at {self._path.lstrip('.')} " if self._path else ""
        return (
            f"The value of a task run cannot be put {place}into a {self._holder} ({self._why}); "
            "hand the future over by itself, or its result."
        )


def are_plain(values: Iterable[Any]) -> bool:
    """Whether a walk through these values can be spared."""
    return all(type(value) in PLAIN for value in values)


def visit(value: Any, replacement: Visit, *, depth: int = DEEP_ENOUGH) -> Any:
    """`value` with everything inside it replaced by what `replacement` returns for it.

    `replacement` gives an object back to have the walk go on into it. Quoted values are left alone. Raises
    CannotReplace where something would have to be put into what cannot be made again.
    """
    return _Walk(replacement).through(value, depth)


def each(value: Any, look: Callable[[Any], None], *, depth: int = DEEP_ENOUGH) -> None:
    """Show everything inside a value to `look`, plain values too where they are not too many."""

    def see(inner: Any) -> Any:
        look(inner)
        return inner

    _Walk(see, sees_plain=True).through(value, depth)


def refuse_iterators(value: Any) -> None:
    """Raise TypeError where an iterator is inside: whoever writes down what it gives leaves nothing of it to others."""

    def look(part: Any) -> Any:
        if isinstance(part, Iterator):
            raise TypeError(f"a {type(part).__name__} can be gone through only once")
        return part

    visit(value, look)


class _Walk:
    def __init__(self, replacement: Visit, *, sees_plain: bool = False) -> None:
        self._replacement = replacement
        self._sees_plain = sees_plain
        # What was seen is not walked through again: small structures that share their parts have very many paths.
        # The value is kept with what it became, as ids are used again.
        self._seen: dict[int, tuple[Any, Any]] = {}
        # A structure may hold itself; whoever is open further up is given back as it is.
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
        """Return the parts as the walk left them; None if each is what it was."""
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
