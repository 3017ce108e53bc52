"""Heartbeats: the leases of all runs renewed in one request, in a thread of their own; the answers carry orders."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from uuid import UUID

from orionflow.agent.contact import Contact
from orionflow.agent.held import HeldRun, HeldRuns, Stop
from orionflow.agent.stopping import Stopping
from orionflow.agent.telling import teller
from orionflow.errors import ApiError, Conflict, NotFound

# Of the time of a lease: clocks drift, and an answer takes its time.
MARGIN = 0.1


class Heartbeats:
    """Sends them until it is told to end. `on_disowned` is called when the API does not know this agent any more."""

    def __init__(
        self, contact: Contact, held: HeldRuns, stopping: Stopping, on_disowned: Callable[[str], None]
    ) -> None:  # fmt: skip
        self.on_queue: Callable[[str], None] = lambda queue: None
        self._contact, self._held, self._stopping, self._on_disowned = contact, held, stopping, on_disowned
        registration = contact.registration
        assert registration is not None
        self._interval = registration.heartbeat_seconds
        self.draining = False
        self._over = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._is_away = False
        self._thread = threading.Thread(target=self._beat, name="orion-heartbeats", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()

    def _beat(self) -> None:
        while not self._over.wait(self._interval):
            self.once()

    def once(self) -> None:
        """Send one heartbeat and obey its answer."""
        with self._one_at_a_time:
            self._once()

    def _once(self) -> None:
        began = time.monotonic()
        runs = list(self._held)
        try:
            reply = self._contact.heartbeat([(run.id, run.epoch) for run in runs], draining=self.draining)
        except (Conflict, NotFound) as error:
            self._on_disowned(str(error))
            return
        except ApiError as error:
            if not self._is_away:
                teller.warning("No heartbeat gets through, %d runs go on. %s", len(runs), error)
            self._is_away = True
            return
        if self._is_away:
            teller.info("Heartbeats get through again.")
        self._is_away = False
        for queue in reply.work_queues:
            self.on_queue(queue.hint_queue)
        self._obey(runs, {order.id: order.order for order in reply.orders}, trusted_until(began, reply.lease_seconds))

    def _obey(self, runs: list[HeldRun], orders: dict[UUID, str], trusted: float) -> None:
        for run in runs:
            match orders.get(run.id):
                case "lost":
                    self._stopping.stop(run, Stop.LOST)
                    continue
                case "cancel":
                    self._stopping.stop(run, Stop.CANCELLED)
            run.trusted_until = trusted
            self._stopping.thaw(run)


def trusted_until(request_began: float, lease_seconds: float) -> float:
    """Until when nobody else can have been given the run: the lease began at the earliest with the request."""
    return request_began + lease_seconds * (1 - MARGIN)
