"""Messages to agents: which run is due. A leaf: it knows the broker, and nothing of rows.

A thread sends them, as a broker that hangs would hang whoever talks to it. A message that cannot be sent is dropped:
it is a hint, and the run itself is a row that will be hinted again.
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
# A broker that is away for minutes is not worth more memory than this.
MOST_WAITING = 1000
LONGEST_PAUSE = 10.0
# In AMQP's numbers: such a message is not written to the broker's disk.
TRANSIENT = 1

logger = logging.getLogger("orion.dispatch")


class Hint(NamedTuple):
    """A run that is due, and the work queue whose agents should know."""

    work_queue_id: UUID
    flow_run_id: UUID


def is_configured() -> bool:
    """Whether there is a broker at all; without one agents ask by themselves."""
    return bool(settings.ORION_BROKER_URL)


def send_soon(hints: Iterable[Hint]) -> int:
    """Have the relay send these; how many it took. Never waits."""
    relay = _relay(settings.ORION_BROKER_URL)
    return sum(relay.offer(hint) for hint in hints)


class Relay:
    """The thread that talks to the broker, and the bounded line of what it is to send."""

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
        """Drop the connection and what waits: runs that still wait get new hints, from their rows."""
        if not self._pause:
            logger.warning("Agents cannot be told of due runs: %s. They ask by themselves meanwhile.", error)
        self._pause = min(max(0.5, self._pause * 2), LONGEST_PAUSE)
        sender, self._sender = self._sender, None
        if sender is not None:
            with suppress(Exception):
                sender.close()
        while not self._waiting.empty():
            self._waiting.get_nowait()


class Sender:
    """One connection to the broker, and the messages of Celery's task protocol over it.

    Kombu alone, without Celery: a server that only sends needs neither its workers nor the memory for them.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        from kombu import Connection

        self._connection = Connection(url, transport_options=options, connect_timeout=3)
        self._producer = self._connection.Producer(serializer="json", auto_declare=False)

    def send(self, hint: Hint) -> None:
        task_id, arguments = str(uuid4()), [str(hint.flow_run_id)]
        # To the exchange without a name, which brings a message to the queue that its key names.
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
        # `release` would say goodbye to a broker that may not listen.
        self._connection.collect(socket_timeout=1)


@lru_cache(maxsize=1)
def _relay(url: str) -> Relay:
    return Relay(lambda: Sender(*import_string(settings.ORION_BROKER_TRANSPORT)(url)))
