"""Which task run a value came from, so that a plain value handed from task to task still draws an edge."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from uuid import UUID

# Python shares these between all who use them: finding one says nothing about where it came from.
_SHARED = frozenset({bool, type(None), type(...), type(NotImplemented)})
_SMALLEST_SHARED, _GREATEST_SHARED = -5, 256

# Values that cannot be referred to weakly are kept alive here, so there may be only so many.
STRONG_LIMIT = 10_000
LARGEST_COLLECTION = 1_000


def is_trackable(value: Any) -> bool:
    """Whether the identity of this value says where it came from."""
    kind = type(value)
    if kind is int:
        return not _SMALLEST_SHARED <= value <= _GREATEST_SHARED
    # Python keeps one copy of each short string, and of the empty tuple.
    if kind in (str, bytes):
        return len(value) > 1
    return kind not in _SHARED and not (kind is tuple and not value)


class LinkTable:
    """Values by identity, each with the task run that returned it. Bounded: the oldest strong entries go first."""

    __slots__ = ("_strong", "_weak")

    def __init__(self) -> None:
        self._strong: OrderedDict[int, tuple[Any, UUID]] = OrderedDict()
        self._weak: dict[int, tuple[weakref.ref[Any], UUID]] = {}

    def add(self, value: Any, task_run_id: UUID) -> bool:
        """Remember where a value came from, and the parts of a collection; False when its identity says nothing."""
        kind = type(value)
        if kind in (list, tuple, set, frozenset) and len(value) <= LARGEST_COLLECTION:
            self._add_parts(value, task_run_id)
        elif kind is dict and len(value) <= LARGEST_COLLECTION:
            self._add_parts(value.values(), task_run_id)
        return self._add_one(value, task_run_id)

    def _add_parts(self, parts: Any, task_run_id: UUID) -> None:
        for part in parts:
            self._add_one(part, task_run_id)

    def _add_one(self, value: Any, task_run_id: UUID) -> bool:
        if not is_trackable(value):
            return False
        key = id(value)
        try:
            self._weak[key] = (weakref.ref(value, self._forgetting(key)), task_run_id)
        except TypeError:
            self._strong[key] = (value, task_run_id)
            if len(self._strong) > STRONG_LIMIT:
                self._strong.popitem(last=False)
        return True

    def _forgetting(self, key: int) -> Callable[[object], None]:
        weak = self._weak

        def forget(_: object) -> None:
            weak.pop(key, None)

        return forget

    def source_of(self, value: Any) -> UUID | None:
        """The task run that returned this very object."""
        if found := self._strong.get(id(value)):
            return found[1]
        if (weak := self._weak.get(id(value))) and weak[0]() is value:
            return weak[1]
        return None

    def __len__(self) -> int:
        return len(self._strong) + len(self._weak)
