"""The runs that this process changed, until the hub takes them. A leaf: writers of states call it after each commit.

A change costs its writer one entry of a dict, and nothing while no page is open. The latest change of a run wins.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

# More than that in a few hundredths of a second is a storm: pages then look at everything once.
MOST = 10_000

Changed = tuple[str, UUID]


class Noted:
    """Changes by kind and id. Threads add to it, and the event loop takes from it, by single operations of a dict."""

    def __init__(self) -> None:
        self._types: dict[Changed, str] = {}
        self._overflowed = False
        self.is_open = False
        # Called with the first change after the last were taken; nobody listens until the hub does.
        self.wake: Callable[[], object] = bool

    def note(self, kind: str, run_id: UUID, state_type: str) -> None:
        number = len(self._types)
        if number < MOST:
            self._types[kind, run_id] = state_type
        else:
            self._overflowed = True
        if not number:
            self.wake()

    @property
    def has_any(self) -> bool:
        return bool(self._types) or self._overflowed

    def take(self) -> tuple[list[Changed], bool]:
        """The changes since the last time, and whether there were more than could be kept."""
        overflowed, self._overflowed = self._overflowed, False
        # One by one: a writer that holds the dict while it is replaced would write into the old one.
        return [self._types.popitem()[0] for _ in range(len(self._types))], overflowed

    def open(self) -> None:
        self.is_open = True

    def close(self) -> None:
        self.is_open = False
        self.take()


noted = Noted()


def run_changed(kind: str, run_id: UUID, state_type: str) -> None:
    """Listen to `orchestration.announce`."""
    if noted.is_open:
        noted.note(kind, run_id, state_type)
