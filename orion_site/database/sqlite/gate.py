"""A first-come, first-served lock for each database file.

SQLite's own waiting is a lottery of polling: of eight writing threads one got a thousand turns and another one turn. A
queue inside the process costs nothing and bounds every wait.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque

from orchestration.measured import Distribution


class FairGate:
    """Lets one connection write at a time, in the order of arrival.

    A thread that already holds the gate passes again, since it would wait for itself; SQLite then decides.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._line: deque[tuple[threading.Lock, int]] = deque()
        self._holder: int | None = None
        self._depth = 0
        # How long writers waited that found the gate taken.
        self.waited = Distribution()

    @property
    def waiting(self) -> int:
        return len(self._line)

    def acquire(self, timeout: float) -> bool:
        """Wait for the gate. Return False if it was not free within `timeout` seconds."""
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
        # The gate was passed to this thread after its timeout, before it took the mutex.
        return True

    def release(self) -> None:
        """Pass the gate to the next thread in line. Another thread may call this when it closes the connection."""
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
    """Return the gate of this file, given as its real path, in this process."""
    with _gates_mutex:
        if (gate := _gates.get(path)) is None:
            gate = _gates[path] = FairGate()
        return gate


def gates() -> list[FairGate]:
    """Return the gates of all files in this process."""
    return list(_gates.values())


def _forget_gates() -> None:
    # A forked child inherits locks of threads that it does not have.
    global _gates_mutex
    _gates_mutex = threading.Lock()
    _gates.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_gates)
