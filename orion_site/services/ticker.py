"""The threads that run the services of Orion, in a server or in a separate process.

Every service is idempotent, so any number of tickers may use the same database. Whichever process runs a service, the
result is recorded in the database (`deployments.upkeep.services.service_records`).
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from django.db import Error, OperationalError, close_old_connections, connections
from django.utils import timezone

from deployments.upkeep.selectors.service_health import SECONDS_BETWEEN_NOTES
from deployments.upkeep.services.service_records import Ticks, note_ticks
from orchestration.database_clock import current_time, database_now
from orchestration.outages import log_outage, outage

logger = logging.getLogger("orion.services")


class ServiceThread(StrEnum):
    """The thread that runs a service. Services of one thread take turns, so slow ones have threads of their own."""

    QUICK = "quick"
    SLOW = "slow"
    LONG = "long"
    OUTSIDE = "outside"
    # A thread of its own: if this service were late, all leases would be extended.
    PRESENCE = "presence"


@dataclass(slots=True)
class Service:
    """A function that is called repeatedly, with the results of calls that are not recorded yet."""

    name: str
    every: float
    tick: Callable[[datetime], object]
    description: str = ""
    thread: ServiceThread = ServiceThread.QUICK
    first_after: float = 0.0
    noted: Ticks = field(default_factory=Ticks)
    # By the monotonic clock: when it is called next, and when its results were last recorded.
    due: float | None = None
    noted_at: float | None = None


def call(service: Service) -> None:
    """Call the service once. An error is recorded and logged, and the next tick tries again."""
    began, now = time.monotonic(), timezone.now()
    error = ""
    try:
        # The clock that all servers share decides what is due.
        service.tick(current_time())
        # A query of its own, because not every service sends one at every tick.
        outage.look_again()
    except Exception as problem:
        error = f"{type(problem).__name__}: {problem}"
        _log_problem(service, problem)
    service.noted = service.noted.and_one(at=now, seconds=time.monotonic() - began, error=error)
    service.due = began + service.every


def _log_problem(service: Service, problem: Exception) -> None:
    """Log an outage of the database in one line for all services, and other errors with a traceback."""
    if log_outage(problem):
        return
    if isinstance(problem, OperationalError):
        logger.warning("Service %s is tried again in %g s: %s", service.name, service.every, problem)
    else:
        logger.exception("Service %s failed; it is tried again in %g s.", service.name, service.every)


def note(services: Iterable[Service]) -> None:
    """Record the results of services. An outage of the database does not stop the ticker."""
    ticked = [service for service in services if service.noted.count]
    if not ticked:
        return
    try:
        # Tickers have different clocks; what they record follows the clock that they share.
        skew = database_now() - timezone.now()
        note_ticks({one.name: (one.every, one.noted.shifted(skew)) for one in ticked}, ticker=this_ticker())
    except Error as problem:
        if not log_outage(problem):
            logger.warning("What the services did could not be written down: %s", problem)
        return
    for service in ticked:
        service.noted, service.noted_at = Ticks(), time.monotonic()


def worth_noting(service: Service) -> bool:
    """Whether to record results now: the first tick and errors at once, others less often, to save writes."""
    if not service.noted.count:
        return False
    noted_at = service.noted_at
    return bool(noted_at is None or service.noted.errors or time.monotonic() - noted_at >= SECONDS_BETWEEN_NOTES)


def this_ticker() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


class _TickingThread(threading.Thread):
    def __init__(self, kind: ServiceThread, services: Sequence[Service], stop: threading.Event) -> None:
        super().__init__(name=f"orion-ticker-{kind}", daemon=True)
        self.services = services
        # Not `_stop`, which is a method of Thread.
        self.ending = stop

    def run(self) -> None:
        started = time.monotonic()
        for service in self.services:
            service.due = started + service.first_after
        while not self.ending.wait(max(0.01, self._earliest() - time.monotonic())):
            self._pass()
        note(self.services)
        connections.close_all()

    def _earliest(self) -> float:
        return min(service.due or 0.0 for service in self.services)

    def _pass(self) -> None:
        for service in sorted(self.services, key=lambda service: service.due or 0.0):
            if (service.due or 0.0) <= time.monotonic() and not self.ending.is_set():
                call(service)
        if any(worth_noting(service) for service in self.services):
            note(self.services)
        close_old_connections()


class Ticker:
    """Runs services, with one thread for each `ServiceThread` that has any."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.services = list(services)
        self._stop = threading.Event()
        members = {kind: [one for one in self.services if one.thread is kind] for kind in ServiceThread}
        self._threads = [_TickingThread(kind, ticked, self._stop) for kind, ticked in members.items() if ticked]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        # Together for all threads: a service that takes longer is cut off, and repeated by the next ticker.
        until = time.monotonic() + 5
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=max(0.1, until - time.monotonic()))
