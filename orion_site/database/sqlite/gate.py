"""A first-come, first-served lock for each database file.

SQLite wakes whoever polls at the right moment: of eight writing threads one got a thousand turns and another one.
Standing in line inside the process costs nothing and bounds every wait.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque

from orchestration.measured import Distribution


class FairGate:
    """Lets one connection write at a time, in the order of arrival.

    A thread that already holds the gate passes again: what it would wait for is itself. SQLite decides then.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._line: deque[tuple[threading.Lock, int]] = deque()
        self._holder: int | None = None
        self._depth = 0
        # Of writers that found it taken: how long each stood in line. The others cost nothing here.
        self.waited = Distribution()

    @property
    def waiting(self) -> int:
        return len(self._line)

    def acquire(self, timeout: float) -> bool:
        """Wait for our turn; False when it did not come within `timeout` seconds."""
        me = threading.get_ident()
        with self._mutex:
            if self._holder in (None, me):
                self._holder = me
                self._depth += 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._line.append((turn, me))
        began = time.monotonic()
        try:
            return self._has_turn(turn, me, timeout)
        finally:
            self.waited.observe(time.monotonic() - began)

    def _has_turn(self, turn: threading.Lock, me: int, timeout: float) -> bool:
        if turn.acquire(timeout=timeout):
            return True
        with self._mutex:
            if (turn, me) in self._line:
                self._line.remove((turn, me))
                return False
        # The gate was handed to us between the end of our patience and the lock.
        return True

    def release(self) -> None:
        """Give the gate to the next in line. Another thread may call this, when it closes our connection."""
        with self._mutex:
            self._depth -= 1
            if self._depth:
                return
            self._holder = None
            if self._line:
                turn, self._holder = self._line.popleft()
                self._depth = 1
                turn.release()


_gates: dict[str, FairGate] = {}
_gates_mutex = threading.Lock()


def gate_of(path: str) -> FairGate:
    """The one gate of this file in this process."""
    with _gates_mutex:
        return _gates.setdefault(os.path.realpath(path), FairGate())


def gates() -> list[FairGate]:
    """The gates of all files in this process."""
    return list(_gates.values())


def _forget_gates() -> None:
    # A forked child inherits locks held by threads that it does not have.
    global _gates_mutex
    _gates_mutex = threading.Lock()
    _gates.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_gates)
