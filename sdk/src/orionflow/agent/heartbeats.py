"""Heartbeats: one request in a separate thread renews the leases of all runs, and its answer carries commands.

A second thread keeps a request open that the server answers as soon as a run of this agent gets a command; a heartbeat
then fetches the command. Without it a command waits for the next heartbeat.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from uuid import UUID

from orionflow.agent.active_runs import ActiveRun, ActiveRuns, Stop
from orionflow.agent.agent_client import MARGIN, WAIT_SECONDS, AgentClient
from orionflow.agent.outage_log import OutageLog
from orionflow.agent.stopping import Stopping
from orionflow.contract.agents import HeartbeatReply
from orionflow.errors import ApiError, Conflict, NotFound
from orionflow.logging import agent_logger

# Seconds. An earlier answer without a command comes from a server that does not wait.
AT_ONCE_SECONDS = 0.2
PAUSE_SECONDS = 2.0


class Heartbeats:
    """Sends heartbeats until `end`. `on_deregistered` is called when the API does not know this agent any more."""

    def __init__(
        self, api: AgentClient, active: ActiveRuns, stopping: Stopping, on_deregistered: Callable[[str], None]
    ) -> None:  # fmt: skip
        self.on_queue: Callable[[str], None] = lambda queue: None
        self._api, self._active, self._stopping, self._on_deregistered = api, active, stopping, on_deregistered
        registration = api.registration
        assert registration is not None
        self._interval = registration.heartbeat_seconds
        self.draining = False
        self._over = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._outage = OutageLog("Heartbeats get through again.")
        self._thread = threading.Thread(target=self._beat, name="orion-heartbeats", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()

    def _beat(self) -> None:
        while not self._over.wait(self._interval):
            self.once()

    def once(self) -> None:
        """Send one heartbeat and follow the commands in its answer."""
        # The listener calls this as well, and an older answer must not be followed after a newer one.
        with self._one_at_a_time:
            self._once()

    def _once(self) -> None:
        began = time.monotonic()
        runs = list(self._active)
        try:
            for named, reply in self._api.heartbeats([(run.id, run.epoch) for run in runs], draining=self.draining):
                # At once: a later heartbeat may fail.
                self._follow([run for run in runs if run.id in named], reply, trusted_until(began, reply.lease_seconds))
        except (Conflict, NotFound) as error:
            self._on_deregistered(str(error))
            return
        except ApiError as error:
            self._outage.failed("Heartbeats do not reach the server; %d runs continue. %s", len(runs), error)
            return
        self._outage.succeeded()

    def _follow(self, runs: list[ActiveRun], reply: HeartbeatReply, trusted: float) -> None:
        for queue in reply.work_queues:
            self.on_queue(queue.hint_queue)
        commands = {one.id: one.order for one in reply.orders}
        for run in runs:
            match commands.get(run.id):
                case "lost":
                    self._stopping.stop(run, Stop.LOST)
                    continue
                case "cancel":
                    self._stopping.stop(run, Stop.CANCELLED)
            # Also if it is cancelled: until its process has ended, no other agent may be given the run.
            run.trusted_until = trusted
            self._stopping.thaw(run)


class CommandListener:
    """Waits for commands as long as the agent executes any run."""

    def __init__(self, api: AgentClient, active: ActiveRuns, heartbeats: Heartbeats) -> None:
        self._api, self._active, self._heartbeats = api, active, heartbeats
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="orion-listening", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()

    def _listen(self) -> None:
        while not self._over.is_set():
            self._active.wait_for_one(PAUSE_SECONDS)
            # A run that is already being ended needs no other command.
            runs = [(run.id, run.epoch) for run in self._active if run.has_process and run.stopped is None]
            if not runs:
                # There is nothing to end, or only runs that are about to end.
                self._over.wait(AT_ONCE_SECONDS)
            elif not self._is_answered(runs):
                self._over.wait(PAUSE_SECONDS * random.uniform(0.5, 1.5))

    def _is_answered(self, runs: list[tuple[UUID, int]]) -> bool:
        """Whether the next request can be sent at once."""
        began = time.monotonic()
        try:
            answer = self._api.await_commands(runs, seconds=WAIT_SECONDS)
        except ApiError as error:
            # Heartbeats log this error, and handle the case that the API does not know this agent any more.
            agent_logger.debug("No commands can be received now. %s", error)
            return False
        took = time.monotonic() - began
        # An early answer without an order also says that a run has changed.
        if answer.orders or took < WAIT_SECONDS:
            self._heartbeats.once()
        return bool(answer.orders) or took > AT_ONCE_SECONDS


def trusted_until(request_began: float, lease_seconds: float) -> float:
    """Return until when no other agent can have been given the run: the lease began not before the request."""
    return request_began + lease_seconds * (1 - MARGIN)
