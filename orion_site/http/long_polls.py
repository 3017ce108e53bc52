"""Long polls of agents, held by the event loop; a thread watches the database for orders given at other servers."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import Any, TypeVar
from uuid import UUID

from django.db import close_old_connections

from deployments.dispatch.waiting_agents import WAIT_HEADER, WaitingAgents, WaitingRequest, waiting_agents

logger = logging.getLogger("orion.agents")

Known = TypeVar("Known")
HEADER = WAIT_HEADER.lower().encode()
# Several servers may share a database: a cancellation may reach one while the agent waits at another.
LOOK_SECONDS = 0.5
# Every so many looks, also look for attempts that were revoked or released: that reads all leases of the agents.
LOOKS_FOR_LOST = 4


def waiting_request(scope: dict[str, Any]) -> AbstractContextManager[WaitingRequest | None]:
    """Register an agent's request for orders, which may have to wait; None for other requests."""
    agent_id = _agent_of(scope)
    if agent_id is None:
        return nullcontext()
    # At the first agent that waits: a server without agents has no such thread.
    _watch.begin()
    return waiting_agents.request(agent_id)


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


async def is_woken(request: WaitingRequest, seconds: float, receive: Callable[[], Awaitable[dict[str, Any]]]) -> bool:
    """Wait until one of the agent's runs changes. Return False after `seconds`, or if the client disconnects."""
    # After the body of a request, the only message that still comes says that the client is gone.
    woken, gone = asyncio.ensure_future(request.wait(seconds)), asyncio.ensure_future(receive())
    try:
        await asyncio.wait({woken, gone}, return_when=asyncio.FIRST_COMPLETED)
        return woken.done() and woken.result()
    finally:
        woken.cancel()
        gone.cancel()


class Watch:
    """The thread that reads the database while agents wait."""

    def __init__(self, agents: WaitingAgents) -> None:
        self._agents = agents
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look_forever, name="orion-orders", daemon=True)
                self._thread.start()

    def _look_forever(self) -> None:
        cancelled: set[tuple[UUID, UUID]] = set()
        attempts: dict[tuple[UUID, UUID], int] = {}
        for number in count():
            # While no agent waits, the database is left alone.
            self._agents.exist.wait()
            cancelled = self._looked(self.look, cancelled)
            if number % LOOKS_FOR_LOST == 0:
                attempts = self._looked(self.look_for_lost, attempts)
            time.sleep(LOOK_SECONDS)

    def _looked(self, look: Callable[[Known], Known], known: Known) -> Known:
        try:
            return look(known)
        except Exception as error:
            # Usually the database is unreachable. In the meantime heartbeats return the orders.
            logger.debug("Agents cannot be notified of orders now: %s", error)
            return known
        finally:
            close_old_connections()

    def look(self, known: set[tuple[UUID, UUID]]) -> set[tuple[UUID, UUID]]:
        """Wake each agent that has a run to cancel, once for each run."""
        from deployments.dispatch.services.heartbeats import cancelling_runs_of

        wanted = cancelling_runs_of(self._agents.ids())
        for agent_id in {agent for agent, _ in wanted - known}:
            self._agents.wake(agent_id)
        return wanted

    def look_for_lost(self, known: dict[tuple[UUID, UUID], int]) -> dict[tuple[UUID, UUID], int]:
        """Wake each agent of which an attempt was replaced since the last look.

        A lease also disappears when its attempt ends, so the epochs of runs decide.
        """
        from deployments.dispatch.services.heartbeats import agents_of_lost, attempts_of

        attempts = attempts_of(self._agents.ids())
        for agent_id in agents_of_lost({key: epoch for key, epoch in known.items() if attempts.get(key) != epoch}):
            self._agents.wake(agent_id)
        return attempts


_watch = Watch(waiting_agents)
