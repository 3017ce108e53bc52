"""Detection of values that JSON restores exactly, with their types. They are stored as JSON if no serializer is set.

A tuple would come back as a list, a datetime as text, a model as a dict, and a list that occurs twice as two lists.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection
from types import NoneType
from typing import Any

_NUMBERS = frozenset({bool, int})
_LEAVES = frozenset({NoneType, bool, int, float, str})
_CONTAINERS = frozenset({list, dict})
_KNOWN = _LEAVES | _CONTAINERS
_NAMES = frozenset({str})
# Readers of JSON refuse deeper nesting.
DEEPEST = 100
# Checking more lists and dicts takes longer than pickling them.
MOST_CONTAINERS = 20_000


def is_exact_in_json(value: Any) -> bool:
    """Whether JSON restores an equal value with the same types on all levels. Subclasses count as other types."""
    level, seen = [(value,)], 0
    known: set[int] = set()
    for _ in range(DEEPEST):
        below = _below(level)
        if not below:
            return below is not None
        # A container that occurs twice is shared or contains itself.
        seen += len(below)
        known.update(map(id, below))
        if len(known) != seen or seen > MOST_CONTAINERS:
            return False
        level = below
    return False


def _below(level: Collection[Any]) -> list[Any] | None:
    """Return the lists and dicts inside those of a level; None if one of them contains a value that JSON lacks."""
    below: list[Any] = []
    for one in level:
        if type(one) is dict:
            if not _NAMES.issuperset(map(type, one)):
                return None
            parts: Collection[Any] = one.values()
        else:
            parts = one
        kinds = set(map(type, parts))
        if not kinds <= _KNOWN or (int in kinds and not _are_short(parts, kinds)):
            return None
        if not kinds <= _LEAVES:
            below += [part for part in parts if type(part) in _CONTAINERS]
    return below


def _are_short(parts: Collection[Any], kinds: set[type]) -> bool:
    """Whether all integers fit into 64 bits: most readers truncate or refuse longer ones."""
    try:
        array("q", parts if kinds <= _NUMBERS else [part for part in parts if type(part) is int])
    except OverflowError:
        return False
    return True
