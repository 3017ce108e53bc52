"""Hints from a broker: a Celery worker whose only task passes the id of a run to the agent, and waits with it.

It runs in threads of the agent. Even if the broker fails, the agent polls the API itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from orionflow.logging import agent_logger

TASK = "orion.run"
PAUSE_SECONDS = 5.0
Offer = Callable[[UUID], None]


class Hints:
    """Consumes the queues until `end`; a worker that fails is restarted."""

    def __init__(self, broker: str, queues: Sequence[str], slots: int, offer: Offer) -> None:
        self._broker, self._queues, self._slots, self._offer = broker, list(queues), slots, offer
        self._worker: Any = None
        # Protects list and worker together: a new queue reaches the running worker, or the one that starts next.
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name="orion-hints", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def listen_to(self, queue: str) -> None:
        """Consume one more queue, which was created after the agent registered for its whole pool."""
        with self._lock:
            if queue in self._queues:
                return
            self._queues.append(queue)
            if self._worker is not None:
                consumer = self._worker.consumer
                # The worker's own thread must do this: its connection is not to be used by two.
                consumer.call_soon(consumer.add_task_queue, queue)

    def end(self) -> None:
        """Take no further messages. Do not wait for the worker: a broker that hangs must not hold up the agent."""
        self._over.set()
        if self._worker is not None:
            from celery.worker import state

            # The exit code with which the worker stops itself, in its own thread, when its loop sees it.
            state.should_stop = 0  # type: ignore[assignment]

    def _live(self) -> None:
        is_logged = False
        while not self._over.is_set():
            try:
                self._consume()
            except (Exception, SystemExit) as error:
                if not is_logged and not self._over.is_set():
                    agent_logger.warning("Hints from the broker fail, so the agent only asks by itself: %s", error)
                    is_logged = True
            self._over.wait(PAUSE_SECONDS)

    def _consume(self) -> None:
        with self._lock:
            self._worker = hint_worker(self._broker, self._queues, self._slots, self._offer)
        self._worker.start()


def hint_worker(broker: str, queues: Sequence[str], slots: int, offer: Offer) -> Any:
    """Return a Celery worker for the hint queues of an agent; its task only calls `offer`."""
    from celery.worker import WorkController

    from orionflow.agent.broker import celery_app

    app = celery_app("orion-agent", broker)
    app.conf.worker_soft_shutdown_timeout = 0
    _hush()

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def run(flow_run_id: str, *_: object, **__: object) -> None:
        with suppress(ValueError):
            offer(UUID(flow_run_id))

    app.finalize()
    return WorkController(
        app=app,
        hostname=f"orion-{time.monotonic_ns()}@agent",
        # Declared as the sender does, so that both bind the queues in the same way.
        queues=list(queues),
        pool="threads",
        concurrency=slots,
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )


def _hush() -> None:
    """Suppress the log lines about each attempt to connect; the agent logs the outage once."""
    for name in ("celery.worker.consumer.consumer", "celery.redirected", "kombu"):
        logging.getLogger(name).addFilter(_once_per_outage)


class _OncePerOutage(logging.Filter):
    """Passes one line when the broker becomes unreachable, and none during the outage."""

    def __init__(self) -> None:
        super().__init__()
        self._logged_at = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return False
        now = time.monotonic()
        is_first, self._logged_at = now - self._logged_at > 60, now
        if is_first:
            agent_logger.warning("The broker does not answer; the agent polls the API in the meantime.")
        return False


# Shared by all workers of this process: a logger adds the same filter only once.
_once_per_outage = _OncePerOutage()
