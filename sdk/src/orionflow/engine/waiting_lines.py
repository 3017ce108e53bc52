"""Lines of runs in this process that wait for a slot of their tags, or for the end of another run of their flow.

The API says how long to wait, without knowing when a slot becomes free. A run that ends here wakes the first run in
line, which asks again at once. Slots that other processes free are found by polling, at growing intervals, and only the
first run of each line polls: a thousand waiting runs cost as much as one.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from typing import Any

from orionflow.clock import SystemClock, current_clock
from orionflow.engine.effects import Effect
from orionflow.engine.interruption import wait_for

FIRST_PAUSE_SECONDS = 0.1
# Polling more often would cost the API a query or two each time.
LONGEST_PAUSE_SECONDS = 2.0
Key = frozenset[str]


class WaitingLines:
    """The lines of this process. A line's key contains the names of everything that its runs wait for."""

    def __init__(self) -> None:
        # Reentrant, as the garbage collector may close the coroutine of a waiting run, which leaves its line.
        self._lock = threading.RLock()
        self._lines: dict[Key, deque[Turn]] = {}

    def join(self, key: Key) -> Turn:
        """Join the end of a line, until `leave`."""
        turn = Turn(self, key)
        with self._lock:
            line = self._lines.setdefault(key, deque())
            line.append(turn)
            # Once more: since Python 3.12 the collector may come before `append`, and let the last other run leave.
            self._lines[key] = line
        return turn

    def leave(self, turn: Turn) -> None:
        """Leave the line, after success or failure, and wake the next run, as there may be a slot for it as well."""
        with self._lock:
            line = self._lines[turn.key]
            line.remove(turn)
            if not line:
                # The collector may come before this, too, and let another run leave, which then took the line away.
                self._lines.pop(turn.key, None)
            following = line[0] if line else None
        if following is not None:
            following.wake()

    def make_room(self, names: Iterable[str]) -> None:
        """Wake the first run of each line that waits for one of these names, as a run of this process released it."""
        # Without the lock: every end of a run comes here, and usually none waits.
        if not self._lines:
            return
        with self._lock:
            lines = [self._lines.get(key) for key in list(self._lines) if not key.isdisjoint(names)]
            firsts = [line[0] for line in lines if line]
        for turn in firsts:
            turn.wake()

    def is_first(self, turn: Turn) -> bool:
        with self._lock:
            return self._lines[turn.key][0] is turn


class Turn:
    """One run's place in a line."""

    def __init__(self, lines: WaitingLines, key: Key) -> None:
        self.lines = lines
        self.key = key
        self._woken: Future[None] = Future()
        self._asked = 0

    def wake(self) -> None:
        """Let the run ask again."""
        # If the run was already woken, the future is done.
        with suppress(Exception):
            self._woken.set_result(None)

    def wait(self, longest: float) -> WaitForTurn:
        """Return the effect that waits until there may be a slot, and at most as long as the API says."""
        if self._woken.done():
            self._woken, self._asked = Future(), 0
        pause = longest
        if self.lines.is_first(self):
            pause = min(longest, LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self._asked)
            self._asked = min(self._asked + 1, 16)
        # Randomized, so that processes do not all ask at the same time.
        return WaitForTurn(self._woken, pause * random.uniform(0.8, 1.0))


class WaitForTurn(Effect):
    """Wait to be woken, or until a time has passed."""

    __slots__ = ("seconds", "woken")

    def __init__(self, woken: Future[None], seconds: float) -> None:
        self.woken = woken
        self.seconds = seconds

    def block(self) -> None:
        if not isinstance(clock := current_clock(), SystemClock):
            clock.sleep(self.seconds)
            return
        with suppress(NotYet):
            wait_for(self.woken, self.seconds)

    async def wait(self) -> None:
        if not isinstance(clock := current_clock(), SystemClock):
            await clock.sleep_async(self.seconds)
            return
        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def pass_on(_: Any) -> None:
            # The loop may be closed when another thread wakes this run.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(woken.set)

        self.woken.add_done_callback(pass_on)
        with suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), self.seconds)


_of_process = WaitingLines()


def waiting_lines() -> WaitingLines:
    """Return the lines of this process."""
    return _of_process


def _forget_in_child() -> None:
    # The runs that wait are in threads of the parent, one of which may have held the lock.
    global _of_process
    _of_process = WaitingLines()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
