"""A clock for tests: retries and pauses take no real time, but the right amount of virtual time."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

# Seconds of real time.
STEP = 0.002


class VirtualClock:
    """A clock that runs by itself, and skips the time for which runs sleep. `slept` lists these times, in seconds.

    - `jumps`: with `False`, a run sleeps until the test calls `clock.advance(seconds)` (default: `True`).
    """

    def __init__(self, *, jumps: bool = True) -> None:
        self._jumps = jumps
        self._ahead = 0.0
        self._sleeping = 0
        self._moved = threading.Condition()
        self.slept: list[float] = []
        """How many seconds runs wanted to sleep, in order."""

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._ahead)

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake runs that sleep until then.

        - `seconds`: by how much to advance the clock.
        """
        with self._moved:
            self._ahead += seconds
            self._moved.notify_all()

    def wait_for_sleeper(self, timeout: float = 10.0) -> None:
        """Wait, in real time, until a run sleeps. For tests that run a flow in another thread.

        - `timeout`: how many seconds to wait at most (default: 10).

        Raises `AssertionError` if no run sleeps by then.
        """
        with self._moved:
            if not self._moved.wait_for(lambda: self._sleeping > 0, timeout):
                raise AssertionError(f"No run went to sleep within {timeout:g} s.")

    def sleep(self, seconds: float) -> None:
        until = self._begin(seconds)
        with self._moved:
            while (left := until - self.monotonic()) > 0:
                self._moved.wait(left)
        self._end()

    async def sleep_async(self, seconds: float) -> None:
        until = self._begin(seconds)
        # Polls in real time, as the test may advance the clock from any thread.
        await asyncio.sleep(0)
        while until - self.monotonic() > 0:
            await asyncio.sleep(STEP)
        self._end()

    def _begin(self, seconds: float) -> float:
        with self._moved:
            self.slept.append(seconds)
            until = self.monotonic() + seconds
            if self._jumps:
                self._ahead += seconds
            else:
                self._sleeping += 1
            self._moved.notify_all()
        return until

    def _end(self) -> None:
        with self._moved:
            # Sleeps that the clock skipped were not counted.
            self._sleeping = max(self._sleeping - 1, 0)
