"""Long polls of agents, held by the event loop; a thread watches the database for cancellations on other servers."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID

from django.db import close_old_connections

from deployments.dispatch.waiting_agents import WAIT_HEADER, Room, Seat, room

logger = logging.getLogger("orion.agents")

HEADER = WAIT_HEADER.lower().encode()
# Several servers may share a database: a cancellation may reach one while the agent waits at another.
LOOK_SECONDS = 0.5


def seat_for(scope: dict[str, Any]) -> AbstractContextManager[Seat | None]:
    """Return a seat for an agent's request that may have to wait; none for other requests."""
    agent_id = _agent_of(scope)
    if agent_id is None:
        return nullcontext()
    _watch.begin()
    return room.seat(agent_id)


def _agent_of(scope: dict[str, Any]) -> UUID | None:
    if scope["method"] != "POST":
        return None
    above, _, last = scope["path"].rpartition("/")
    kind, _, agent_id = above.rpartition("/")
    if last != "orders" or not kind.endswith("/api/agents"):
        return None
    try:
        return UUID(agent_id)
    except ValueError:
        return None


def seconds_to_wait(headers: list[tuple[bytes, bytes]]) -> float:
    return float(dict(headers).get(HEADER, b"0"))


async def is_called(seat: Seat, seconds: float, receive: Callable[[], Awaitable[dict[str, Any]]]) -> bool:
    """Wait until one of the agent's runs changes. Return False after `seconds`, or if the client disconnects."""
    called, gone = asyncio.ensure_future(seat.wait(seconds)), asyncio.ensure_future(receive())
    try:
        await asyncio.wait({called, gone}, return_when=asyncio.FIRST_COMPLETED)
        return called.done() and called.result()
    finally:
        called.cancel()
        gone.cancel()


class Watch:
    """The thread that reads the database while agents wait."""

    def __init__(self, waited: Room) -> None:
        self._room = waited
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look_forever, name="orion-orders", daemon=True)
                self._thread.start()

    def _look_forever(self) -> None:
        known: set[tuple[UUID, UUID]] = set()
        while True:
            self._room.occupied.wait()
            known = self.look(known)
            time.sleep(LOOK_SECONDS)

    def look(self, known: set[tuple[UUID, UUID]]) -> set[tuple[UUID, UUID]]:
        """Wake each agent that has a run to cancel, once for each run."""
        from deployments.dispatch.services.heartbeats import cancelling_runs_of

        try:
            wanted = cancelling_runs_of(self._room.waiting())
        except Exception as error:
            # Usually the database is unreachable. In the meantime heartbeats return the cancellations.
            logger.debug("Agents cannot be notified of cancellations now: %s", error)
            return known
        finally:
            close_old_connections()
        for agent_id in {agent for agent, _ in wanted - known}:
            self._room.wake(agent_id)
        return wanted


_watch = Watch(room)
