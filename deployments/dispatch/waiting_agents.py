"""Requests of agents that wait for orders. A leaf: it knows ids, and nothing about rows.

A waiting request occupies its connection but no thread: the server's event loop holds it. Code that changes a run wakes
the agent that executes it, from any thread. Waking an agent needlessly costs one extra response.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

# Header of a response that may be held back for this number of seconds, and computed again if its agent is woken.
WAIT_HEADER = "Orion-Wait"


class Seat:
    """One waiting request. Create it on the event loop on which it waits."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._called = asyncio.Event()

    def call(self) -> None:
        self._loop.call_soon_threadsafe(self._called.set)

    async def wait(self, seconds: float) -> bool:
        """Whether it was called before the time was over."""
        try:
            await asyncio.wait_for(self._called.wait(), seconds)
        except TimeoutError:
            return False
        return True


class Room:
    """The waiting requests of all agents at this server."""

    def __init__(self) -> None:
        self._seats: defaultdict[UUID, set[Seat]] = defaultdict(set)
        self._lock = threading.Lock()
        self._closed = False
        self.occupied = threading.Event()

    @contextmanager
    def seat(self, agent_id: UUID) -> Iterator[Seat]:
        """Register a waiting request. Do this before computing the response, so that later changes are not missed."""
        seat = Seat()
        with self._lock:
            self._seats[agent_id].add(seat)
            self.occupied.set()
        if self._closed:
            seat.call()
        try:
            yield seat
        finally:
            with self._lock:
                self._seats[agent_id].discard(seat)
                if not self._seats[agent_id]:
                    del self._seats[agent_id]
                if not self._seats:
                    self.occupied.clear()

    def waiting(self) -> set[UUID]:
        with self._lock:
            return set(self._seats)

    def wake(self, agent_id: UUID) -> None:
        with self._lock:
            seats = list(self._seats.get(agent_id, ()))
        for seat in seats:
            seat.call()

    def close(self) -> None:
        """Wake all requests, because the server stops."""
        self._closed = True
        for agent_id in self.waiting():
            self.wake(agent_id)


room = Room()
