"""Which values JSON gives back as they were, types included: what is stored without a serializer goes by that.

A tuple would come back as a list, a moment as text, a model as a dict; two names for one list as two lists.
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
# Readers of JSON give up on deeper ones.
DEEPEST = 100
# To look into more lists and dicts takes longer than to pickle them.
MOST_CONTAINERS = 20_000


def is_exact_in_json(value: Any) -> bool:
    """Whether JSON gives back an equal value of the same types, all the way down. Subclasses are other types."""
    level, seen = [(value,)], 0
    known: set[int] = set()
    for _ in range(DEEPEST):
        below = _below(level)
        if not below:
            return below is not None
        # One that is seen again is shared, or holds itself.
        seen += len(below)
        known.update(map(id, below))
        if len(known) != seen or seen > MOST_CONTAINERS:
            return False
        level = below
    return False


def _below(level: Collection[Any]) -> list[Any] | None:
    """Return the lists and dicts in those of a level; None when something in them has no equal in JSON."""
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
    """Whether all whole numbers have 64 bits at most: most readers cut longer ones, or refuse them."""
    try:
        array("q", parts if kinds <= _NUMBERS else [part for part in parts if type(part) is int])
    except OverflowError:
        return False
    return True
