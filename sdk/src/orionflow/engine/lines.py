"""Lines of runs in this process that wait for room: a slot of their tags, or the end of another run of their flow.

The API says how long to wait, without knowing how soon there is room. Who leaves makes room for the first in line here,
who asks again at once. Room that others make, in other processes, is found by asking, more and more rarely, and only
the first in each line asks: a thousand runs that wait cost no more than one.
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
# An answer costs the API a query or two.
LONGEST_PAUSE_SECONDS = 2.0
Key = frozenset[str]


class Lines:
    """Those of this process. A line is named by all that its runs want room in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[Key, deque[Turn]] = {}

    def join(self, key: Key) -> Turn:
        """Stand at the end of a line, until `leave`."""
        turn = Turn(self, key)
        with self._lock:
            self._lines.setdefault(key, deque()).append(turn)
        return turn

    def leave(self, turn: Turn) -> None:
        """Go on, or give up; there may be room for the next one as well."""
        with self._lock:
            line = self._lines[turn.key]
            line.remove(turn)
            if not line:
                del self._lines[turn.key]
            following = line[0] if line else None
        if following is not None:
            following.call()

    def make_room(self, names: Iterable[str]) -> None:
        """Somebody in this process gave back what these names stand for."""
        if not self._lines:
            return
        with self._lock:
            firsts = [line[0] for key, line in self._lines.items() if not key.isdisjoint(names)]
        for turn in firsts:
            turn.call()

    def is_first(self, turn: Turn) -> bool:
        with self._lock:
            return self._lines[turn.key][0] is turn


class Turn:
    """One run's place in a line."""

    def __init__(self, lines: Lines, key: Key) -> None:
        self.lines = lines
        self.key = key
        self._called: Future[None] = Future()
        self._asked = 0

    def call(self) -> None:
        """Have the run ask again."""
        with suppress(Exception):
            self._called.set_result(None)

    def wait(self, longest: float) -> WaitForTurn:
        """Until there may be room, and at most as long as the API says."""
        if self._called.done():
            self._called, self._asked = Future(), 0
        pause = longest
        if self.lines.is_first(self):
            pause = min(longest, LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self._asked)
            self._asked = min(self._asked + 1, 16)
        # Not all processes at once.
        return WaitForTurn(self._called, pause * random.uniform(0.8, 1.0))


class WaitForTurn(Effect):
    """Wait to be called, or for a time."""

    __slots__ = ("called", "seconds")

    def __init__(self, called: Future[None], seconds: float) -> None:
        self.called = called
        self.seconds = seconds

    def block(self) -> None:
        if not isinstance(clock := current_clock(), SystemClock):
            clock.sleep(self.seconds)
            return
        with suppress(NotYet):
            wait_for(self.called, self.seconds)

    async def wait(self) -> None:
        if not isinstance(clock := current_clock(), SystemClock):
            await clock.sleep_async(self.seconds)
            return
        loop, called = asyncio.get_running_loop(), asyncio.Event()

        def tell(_: Any) -> None:
            # The loop may be gone by the time that somebody calls.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(called.set)

        self.called.add_done_callback(tell)
        with suppress(TimeoutError):
            await asyncio.wait_for(called.wait(), self.seconds)


_lines = Lines()


def lines() -> Lines:
    """Those of this process."""
    return _lines


def _forget_in_child() -> None:
    global _lines
    _lines = Lines()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
