"""The content of variables that functions enclose, remembered as first seen."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any


class Enclosed:
    """Lists, dicts and other objects that functions enclose, with the content they had when first seen.

    A function may change them while it runs, such as a list of its results, and still count as the same function.
    `beside` is a second memory that is also consulted and updated.
    """

    __slots__ = ("_beside", "_seen")
    MOST = 100

    def __init__(self, beside: Enclosed | None = None) -> None:
        # The objects are kept alive, so that no other object can get the id of one.
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
        """Return this memory combined with another one, for a function that has a memory of its own."""
        both = Enclosed(other)
        both._seen = self._seen
        return both
