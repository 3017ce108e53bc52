"""Messages to agents about due runs. A leaf: it knows the broker, and nothing about rows.

A thread sends them, because a broker that hangs would block the caller. A message that cannot be sent is dropped: it is
only a hint, and the stored run will be hinted again.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.conf import settings
from django.utils.module_loading import import_string

from orionflow.contract.agents import hint_queue

TASK = "orion.run"
# The length of the queue: a broker that cannot be reached for minutes is not worth more memory.
MOST_WAITING = 1000
LONGEST_PAUSE = 10.0
# AMQP's delivery mode for messages that are not written to the broker's disk.
TRANSIENT = 1

logger = logging.getLogger("orion.dispatch")


class Hint(NamedTuple):
    """A due run, and the work queue whose agents should know about it."""

    work_queue_id: UUID
    flow_run_id: UUID


def is_configured() -> bool:
    """Whether there is a broker. Without one, agents poll."""
    return bool(settings.ORION_BROKER_URL)


def send_soon(hints: Iterable[Hint]) -> int:
    """Queue these hints for sending, without waiting, and return how many were accepted."""
    relay = _relay(settings.ORION_BROKER_URL)
    return sum(relay.offer(hint) for hint in hints)


class Relay:
    """The thread that talks to the broker, and the bounded queue of hints to send."""

    def __init__(self, connect: Callable[[], Sender]) -> None:
        self._connect = connect
        self._waiting: queue.Queue[Hint] = queue.Queue(MOST_WAITING)
        self._sender: Sender | None = None
        self._pause = 0.0
        threading.Thread(target=self._run, name="orion-relay", daemon=True).start()

    def offer(self, hint: Hint) -> bool:
        try:
            self._waiting.put_nowait(hint)
        except queue.Full:
            return False
        return True

    def _run(self) -> None:
        while True:
            hint = self._waiting.get()
            try:
                self._send(hint)
            except Exception as error:
                self._give_up(error)
                time.sleep(self._pause)

    def _send(self, hint: Hint) -> None:
        if self._sender is None:
            self._sender = self._connect()
        self._sender.send(hint)
        if self._pause:
            logger.warning("The broker can be reached again.")
            self._pause = 0.0

    def _give_up(self, error: Exception) -> None:
        """Close the connection and drop the waiting hints: runs that still wait get new ones, based on their rows."""
        if not self._pause:
            logger.warning("Agents cannot be notified of due runs: %s. They poll the API in the meantime.", error)
        self._pause = min(max(0.5, self._pause * 2), LONGEST_PAUSE)
        sender, self._sender = self._sender, None
        if sender is not None:
            with suppress(Exception):
                sender.close()
        while not self._waiting.empty():
            self._waiting.get_nowait()


class Sender:
    """One connection to the broker, which sends messages in Celery's task protocol.

    It uses Kombu without Celery: a server that only sends needs neither workers nor the memory for them.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        from kombu import Connection

        self._connection = Connection(url, transport_options=options, connect_timeout=3)
        self._producer = self._connection.Producer(serializer="json", auto_declare=False)

    def send(self, hint: Hint) -> None:
        task_id, arguments = str(uuid4()), [str(hint.flow_run_id)]
        # The default exchange delivers a message to the queue that its routing key names.
        self._producer.publish(
            (arguments, {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}),
            exchange="",
            routing_key=hint_queue(hint.work_queue_id),
            headers={"lang": "py", "task": TASK, "id": task_id, "root_id": task_id, "argsrepr": repr(arguments)},
            correlation_id=task_id,
            delivery_mode=TRANSIENT,
            retry=False,
        )

    def close(self) -> None:
        # `release` would send a close message to a broker that may not answer.
        self._connection.collect(socket_timeout=1)


@lru_cache(maxsize=1)
def _relay(url: str) -> Relay:
    return Relay(lambda: Sender(*import_string(settings.ORION_BROKER_TRANSPORT)(url)))
