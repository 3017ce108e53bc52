"""Which task run a value came from, so that a plain value passed from task to task still draws an edge in the graph."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from uuid import UUID

from orionflow.values.weights import weight_of

# Python shares these values, so finding one does not show where it came from.
_SHARED = frozenset({bool, type(None), type(...), type(NotImplemented)})
_SMALLEST_SHARED, _GREATEST_SHARED = -5, 256

# Limits for values that cannot be referenced weakly and are therefore kept alive here: their number and their bytes.
STRONG_LIMIT = 10_000
STRONG_BYTES = 16 * 1024 * 1024
LARGEST_COLLECTION = 1_000


def is_trackable(value: Any) -> bool:
    """Whether the identity of this value shows where it came from."""
    kind = type(value)
    if kind is int:
        return not _SMALLEST_SHARED <= value <= _GREATEST_SHARED
    # Python keeps one copy of each short string, and of the empty tuple.
    if kind in (str, bytes):
        return len(value) > 1
    return kind not in _SHARED and not (kind is tuple and not value)


class Lineage:
    """Values by identity, each with the task run that returned it.

    Bounded: of the values that it keeps alive, the oldest are dropped first, a collection together with its parts.
    """

    __slots__ = ("_bytes", "_lock", "_results", "_strong", "_weak")

    def __init__(self) -> None:
        # By the identity of a value: itself, the number of its run's id, and that of the result. The garbage collector
        # passes over tuples and dicts of numbers and texts.
        self._strong: dict[int, tuple[Any, int, int]] = {}
        # The weight in bytes of one result, and the identities of its values.
        self._results: OrderedDict[int, tuple[int, ...]] = OrderedDict()
        self._bytes = 0
        self._weak: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._lock = threading.Lock()

    def add(self, value: Any, task_run_id: UUID) -> bool:
        """Remember the source of a value and of a collection's parts; return False if it cannot be recognized again."""
        kind = type(value)
        strong: list[Any] = []
        if kind in (list, tuple, set, frozenset) and len(value) <= LARGEST_COLLECTION:
            self._add_weak(value, task_run_id, strong)
        elif kind is dict and len(value) <= LARGEST_COLLECTION:
            self._add_weak(value.values(), task_run_id, strong)
        self._add_weak((value,), task_run_id, strong)
        is_kept = not strong or self._keep(strong, weight_of(value), task_run_id)
        return is_kept and is_trackable(value)

    def _add_weak(self, values: Any, task_run_id: UUID, strong: list[Any]) -> None:
        """Reference values weakly if possible, and collect the others in `strong`."""
        for value in values:
            if is_trackable(value):
                key = id(value)
                try:
                    self._weak[key] = (weakref.ref(value, self._forgetting(key)), task_run_id.int)
                except TypeError:
                    strong.append(value)

    def _keep(self, values: list[Any], weight: int, task_run_id: UUID) -> bool:
        if weight > STRONG_BYTES:
            return False
        with self._lock:
            result = next(reversed(self._results), -1) + 1
            for value in values:
                self._strong[id(value)] = (value, task_run_id.int, result)
            self._results[result] = (weight, *map(id, values))
            self._bytes += weight
            while self._bytes > STRONG_BYTES or len(self._strong) > STRONG_LIMIT:
                self._forget_oldest()
        return True

    def _forget_oldest(self) -> None:
        result, (weight, *identities) = self._results.popitem(last=False)
        self._bytes -= weight
        for identity in identities:
            # A later result may contain the same value, and one result may contain it twice.
            if (kept := self._strong.get(identity)) is not None and kept[2] == result:
                del self._strong[identity]

    def _forgetting(self, key: int) -> Callable[[object], None]:
        weak = self._weak

        def forget(_: object) -> None:
            weak.pop(key, None)

        return forget

    def source_of(self, value: Any) -> UUID | None:
        """Return the task run that returned this very object."""
        if found := self._strong.get(id(value)):
            return UUID(int=found[1])
        if (weak := self._weak.get(id(value))) and weak[0]() is value:
            return UUID(int=weak[1])
        return None

    def renew_lock(self) -> None:
        """Continue in a forked process, whose parent's threads may have held the lock."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._strong) + len(self._weak)
