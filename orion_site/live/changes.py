"""The runs that this process changed, until the hub takes them. A leaf: writers of states call it after each commit.

A change costs one entry of a dict, and nothing while no page is open. Only the latest change of a run is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

# With more changes between two looks of the hub, all pages refresh completely.
MOST = 10_000

Changed = tuple[str, UUID]


class Noted:
    """Changes by kind and id. Threads add to it, and the event loop takes from it, with atomic operations of a dict."""

    def __init__(self) -> None:
        self._types: dict[Changed, str] = {}
        self._overflowed = False
        self.is_open = False
        # Called with the first change after the last ones were taken; does nothing until the hub sets it.
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
        """Return the changes since the last call, and whether there were too many to keep."""
        overflowed, self._overflowed = self._overflowed, False
        # One by one: if the dict were replaced, a writer that just read it would write into the old one.
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
