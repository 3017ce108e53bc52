"""The clockwork of a one-process server: a thread that ticks the services that exist.

Every service is idempotent, so any number of servers may tick the same database.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connections
from django.utils import timezone

logger = logging.getLogger("orion.services")


@dataclass(slots=True)
class Service:
    """A function that is called again and again, and how its last calls went."""

    name: str
    every: float
    tick: Callable[[datetime], object]
    description: str = ""
    ticks: int = 0
    errors: int = 0
    last_error: str = ""
    last_tick: datetime | None = None
    last_seconds: float = 0.0
    due: float = field(default=0.0, repr=False)

    def lag(self, now: datetime) -> float:
        """Seconds by which the next tick is overdue."""
        if self.last_tick is None:
            return 0.0
        return max(0.0, (now - self.last_tick).total_seconds() - self.every)


class Ticker:
    """One thread for all services, in turn: they are short, and SQLite has one writer anyway."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.services = list(services)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="orion-ticker", daemon=True)

    def start(self) -> None:
        global _running
        _running = self
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.is_set():
            for service in self.services:
                if service.due <= time.monotonic() and not self._stop.is_set():
                    call(service)
            connections.close_all()
            earliest = min((service.due for service in self.services), default=time.monotonic() + 60)
            self._stop.wait(max(0.05, earliest - time.monotonic()))


def call(service: Service) -> None:
    """Tick once. Whatever goes wrong is kept and logged, and the next tick tries again."""
    began = time.monotonic()
    try:
        service.tick(timezone.now())
    except Exception as error:
        service.errors += 1
        service.last_error = f"{type(error).__name__}: {error}"
        logger.exception("Service %s failed; it is tried again in %g s.", service.name, service.every)
    else:
        service.last_error = ""
    service.ticks += 1
    service.last_tick = timezone.now()
    service.last_seconds = time.monotonic() - began
    service.due = began + service.every


_running: Ticker | None = None


def ticking_services() -> Sequence[Service]:
    """The services of this process, for the status page; none where no ticker runs."""
    return tuple(_running.services) if _running else ()


def services_of_this_server() -> list[Service]:
    from runs.services.upkeep import clean_up_cancelled, fail_expired_pauses

    return [
        Service(
            "pause expiry",
            5,
            lambda now: fail_expired_pauses(now=now),
            "Fails paused runs that nobody resumed in time.",
        ),
        Service(
            "cancellation clean-up",
            20,
            lambda now: clean_up_cancelled(now=now),
            "Cancels what is still open below a cancelled run.",
        ),
    ]
