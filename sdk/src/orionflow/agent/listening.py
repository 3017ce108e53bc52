"""Listening for orders: a request that the server answers as soon as something is wanted of a run of this agent.

What is wanted is then fetched by a heartbeat; without this thread an order waits for the next one.
"""

from __future__ import annotations

import random
import threading
import time
from uuid import UUID

from orionflow.agent.contact import WAIT_SECONDS, Contact
from orionflow.agent.heartbeats import Heartbeats
from orionflow.agent.held import HeldRuns
from orionflow.agent.telling import teller
from orionflow.errors import ApiError

# An answer without orders that comes sooner, and not because of a call, is one of a server that never waits.
AT_ONCE_SECONDS = 0.2
PAUSE_SECONDS = 2.0


class Listening:
    """Asks as long as the agent executes anything."""

    def __init__(self, contact: Contact, held: HeldRuns, heartbeats: Heartbeats) -> None:
        self._contact, self._held, self._heartbeats = contact, held, heartbeats
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="orion-listening", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()

    def _listen(self) -> None:
        while not self._over.is_set():
            self._held.wait_for_one(PAUSE_SECONDS)
            # What is being ended already needs no other order.
            runs = [(run.id, run.epoch) for run in self._held if run.has_process and run.stopped is None]
            if not runs:
                # Nothing to end, or only what is about to be gone.
                self._over.wait(AT_ONCE_SECONDS)
            elif not self._is_answered(runs):
                self._over.wait(PAUSE_SECONDS * random.uniform(0.5, 1.5))

    def _is_answered(self, runs: list[tuple[UUID, int]]) -> bool:
        """Whether it makes sense to ask again at once."""
        began = time.monotonic()
        try:
            answer = self._contact.orders(runs, seconds=WAIT_SECONDS)
        except ApiError as error:
            # Heartbeats tell of it, and of an API that does not know this agent any more.
            teller.debug("No orders can be heard now. %s", error)
            return False
        took = time.monotonic() - began
        if answer.orders or took < WAIT_SECONDS:
            self._heartbeats.once()
        return bool(answer.orders) or took > AT_ONCE_SECONDS
