"""Requests of agents that wait for orders (long polls) in this process. Only ids are known here, no rows.

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


class WaitingRequest:
    """One waiting request. Create it on the event loop on which it waits."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """End the wait, from any thread."""
        # An asyncio event may be set only on its loop, and runs are changed by threads.
        self._loop.call_soon_threadsafe(self._woken.set)

    async def wait(self, seconds: float) -> bool:
        """Wait at most `seconds`. Return whether it was woken."""
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            return False
        return True


class WaitingAgents:
    """The waiting requests of all agents in this process. `exist` is set while there are any."""

    def __init__(self) -> None:
        self._requests: defaultdict[UUID, set[WaitingRequest]] = defaultdict(set)
        # Protects `_requests`, and keeps `exist` in step with it.
        self._lock = threading.Lock()
        self._closed = False
        self.exist = threading.Event()

    @contextmanager
    def request(self, agent_id: UUID) -> Iterator[WaitingRequest]:
        """Register a waiting request. Do this before computing the response, so that later changes are not missed."""
        request = WaitingRequest()
        with self._lock:
            self._requests[agent_id].add(request)
            self.exist.set()
        # Asked after it was added: `close` finds this request, or was called before and is noticed here.
        if self._closed:
            request.wake()
        try:
            yield request
        finally:
            with self._lock:
                self._requests[agent_id].discard(request)
                if not self._requests[agent_id]:
                    del self._requests[agent_id]
                if not self._requests:
                    self.exist.clear()

    def ids(self) -> set[UUID]:
        with self._lock:
            return set(self._requests)

    def wake(self, agent_id: UUID) -> None:
        with self._lock:
            requests = list(self._requests.get(agent_id, ()))
        for request in requests:
            request.wake()

    def close(self) -> None:
        """Wake all requests, because the server stops."""
        self._closed = True
        for agent_id in self.ids():
            self.wake(agent_id)


waiting_agents = WaitingAgents()
