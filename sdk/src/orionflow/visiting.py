"""A walk through arguments: futures and states are found in collections, dataclasses and pydantic models, and replaced.

What holds nothing to replace is given back as the very same object.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from typing import Any

from orionflow.annotations import Mark, quote

# A value of one of these types holds nothing else; most arguments are of such a type, so the walk never begins.
PLAIN = frozenset({int, float, str, bytes, bool, type(None), complex, bytearray, range, type, type(...)})
DEEP_ENOUGH = 100
# In longer collections nobody looks at each number and text.
MANY = 1_000

Visit = Callable[[Any], Any]


def are_plain(values: Iterable[Any]) -> bool:
    """Whether a walk through these values can be spared."""
    return all(type(value) in PLAIN for value in values)


def visit(value: Any, replacement: Visit, *, depth: int = DEEP_ENOUGH) -> Any:
    """`value` with everything inside it replaced by what `replacement` returns for it.

    `replacement` gives an object back to have the walk go on into it. Quoted values are left alone.
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
        # A structure may hold itself; whoever is open further up is given back as it is.
        self._open: set[int] = set()

    def through(self, value: Any, depth: int) -> Any:
        if type(value) in PLAIN and not self._sees_plain:
            return value
        found = self._replacement(value)
        if found is not value:
            return found
        if depth <= 0 or id(value) in self._open:
            return value
        return self._inside(value, depth - 1)

    def _inside(self, value: Any, depth: int) -> Any:
        self._open.add(id(value))
        try:
            return self._rebuilt(value, depth)
        finally:
            self._open.discard(id(value))

    def _rebuilt(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if isinstance(value, Mark):
            return value if isinstance(value, quote) else self._mark(value, depth)
        if kind in (list, tuple, set, frozenset):
            return self._sequence(value, depth)
        if kind in (dict, OrderedDict, defaultdict):
            return self._mapping(value, depth)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return self._named_tuple(value, depth)
        if isinstance(value, list | set | frozenset):
            return self._sequence(value, depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in dataclasses.fields(value)]
            return self._attributes(value, names, depth)
        if _is_model(value):
            return self._attributes(value, list(type(value).model_fields), depth)
        return value

    def _mark(self, value: Mark[Any], depth: int) -> Any:
        inner = self.through(value.value, depth)
        return value if inner is value.value else value.rewrap(inner)

    def _sequence(self, value: Any, depth: int) -> Any:
        skip_plain = not self._sees_plain or len(value) > MANY
        parts = [part if skip_plain and type(part) in PLAIN else self.through(part, depth) for part in value]
        if all(new is old for new, old in zip(parts, value, strict=True)):
            return value
        kind = type(value)
        return parts if kind is list else kind(parts) if kind in (tuple, set, frozenset) else _like(value, parts)

    def _named_tuple(self, value: Any, depth: int) -> Any:
        parts = [self.through(part, depth) for part in value]
        return value if all(new is old for new, old in zip(parts, value, strict=True)) else type(value)(*parts)

    def _mapping(self, value: Any, depth: int) -> Any:
        changed = False
        parts: list[tuple[Any, Any]] = []
        for key, old in value.items():
            new_key, new = self.through(key, depth), self.through(old, depth)
            changed = changed or new is not old or new_key is not key
            parts.append((new_key, new))
        if not changed:
            return value
        twin = copy(value)
        twin.clear()
        twin.update(parts)
        return twin

    def _attributes(self, value: Any, names: list[str], depth: int) -> Any:
        old = {name: getattr(value, name) for name in names if hasattr(value, name)}
        new = {name: self.through(part, depth) for name, part in old.items()}
        changed = {name: part for name, part in new.items() if part is not old[name]}
        if not changed:
            return value
        twin = copy(value)
        for name, part in changed.items():
            # Past frozen dataclasses and validated models: the user's own rules held for the future's place.
            object.__setattr__(twin, name, part)
        return twin


def _like(value: Any, parts: list[Any]) -> Any:
    try:
        return type(value)(parts)
    except TypeError:
        return parts


def _is_model(value: Any) -> bool:
    # Whoever passes a model has imported pydantic; nobody else shall pay for it.
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(value, pydantic.BaseModel)
