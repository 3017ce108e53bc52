"""The values that functions enclose, remembered as they were when first seen."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any


class Enclosed:
    """Lists, dicts and other objects that functions enclose, as they were when they were first seen.

    A function may write into them while it works (a list of what it did, say), which does not make it another one.
    `beside` is another memory that knows, and learns, as much.
    """

    __slots__ = ("_beside", "_seen")
    MOST = 100

    def __init__(self, beside: Enclosed | None = None) -> None:
        # The objects themselves are kept, so that no other can get the id of one.
        self._seen: OrderedDict[int, tuple[Any, bytes]] = OrderedDict()
        self._beside = beside

    def get(self, value: Any) -> bytes | None:
        found = self._seen.get(id(value))
        if found is not None:
            return found[1]
        return None if self._beside is None else self._beside.get(value)

    def keep(self, value: Any, digest: bytes) -> None:
        self._seen[id(value)] = (value, digest)
        while len(self._seen) > self.MOST:
            self._seen.popitem(last=False)
        if self._beside is not None:
            self._beside.keep(value, digest)

    def with_those_of(self, other: Enclosed) -> Enclosed:
        """This memory for a function that has one of its own."""
        both = Enclosed(other)
        both._seen = self._seen
        return both
