"""A mailbox at a broker: messages are sent to other mailboxes by name, and received by a thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any
from uuid import uuid4

logger = logging.getLogger("orionflow.task_calls")

Message = dict[str, Any]
# Seconds after which the broker deletes an unused mailbox, if it supports that.
BOX_LIFE_SECONDS = 3600
RETRY_SECONDS = 1.0


class Mailbox:
    """Sends and receives JSON. A broker that is away only loses messages; senders repeat those that are needed."""

    def __init__(self, app: Any, receive: Callable[[Message], None]) -> None:
        self.name = f"orion-inbox.{uuid4().hex}"
        self._app = app
        self._receive = receive
        self._stop = threading.Event()
        # Protects `_sending`: the threads of all calls send through one connection, one after another.
        self._lock = threading.Lock()
        self._sending: Any = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="orion-mailbox", daemon=True)

    def open(self, *, wait_seconds: float = 5.0) -> None:
        """Start listening; return when the mailbox exists, or after `wait_seconds` if the broker is away."""
        self._thread.start()
        self._ready.wait(wait_seconds)

    def close(self) -> None:
        # The listener ends by itself: with some brokers that takes a second.
        self._stop.set()
        with self._lock:
            self._forget()

    def send(self, box: str, message: Message) -> bool:
        """Send a message, and return whether the broker accepted it."""
        queue = box_queue(box)
        return self._publish(lambda producer: producer.publish(message, routing_key=box, declare=[queue]))

    def send_task(self, name: str, args: list[Any], queue: str) -> bool:
        """Send a message in the form of a Celery task."""
        return self._publish(lambda producer: self._app.send_task(name, args, queue=queue, producer=producer))

    def _publish(self, publish: Callable[[Any], object]) -> bool:
        with self._lock:
            try:
                if self._sending is None:
                    self._sending = self._app.connection_for_write()
                    # Hardly any retries, because the thread of a call waits here; callers repeat what is needed.
                    self._sending.ensure_connection(max_retries=1, interval_start=0.1)
                publish(self._sending.Producer(serializer="json", auto_declare=False))
                return True
            except Exception as error:
                logger.warning("The broker did not take a message: %s: %s", type(error).__name__, error)
                self._forget()
                return False

    def _forget(self) -> None:
        connection, self._sending = self._sending, None
        if connection is not None:
            try:
                connection.release()
            except Exception:
                logger.debug("A connection to the broker did not close well.", exc_info=True)

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                with self._app.connection_for_read() as connection:
                    connection.ensure_connection(max_retries=1, interval_start=0.1)
                    with connection.Consumer([box_queue(self.name)], callbacks=[self._take], accept=["json"]):
                        self._ready.set()
                        self._drain(connection)
                    # Only after `close`, as an outage is an exception: then the mailbox is used again, with what
                    # arrived in it.
                    box_queue(self.name).bind(connection.default_channel).delete()
            except Exception as error:
                logger.debug("The broker is away: %s: %s", type(error).__name__, error)
                self._stop.wait(RETRY_SECONDS)

    def _drain(self, connection: Any) -> None:
        while not self._stop.is_set():
            try:
                # It returns now and then, to notice `close`.
                connection.drain_events(timeout=0.5)
            except TimeoutError:
                continue

    def _take(self, body: Any, message: Any) -> None:
        # Before it is read: a message that cannot be understood must not be delivered again.
        message.ack()
        try:
            self._receive(body)
        except Exception:
            logger.exception("A message about task calls was not understood.")


def box_queue(name: str) -> Any:
    return import_module("kombu").Queue(name, durable=False, auto_delete=False, expires=BOX_LIFE_SECONDS)


def now() -> float:
    return time.monotonic()
