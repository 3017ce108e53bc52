"""When the next batch is due: at once if a caller waits or the batch is full, else when its oldest item is old enough.

The caller holds the reporter's lock.
"""

from __future__ import annotations

import time

from orionflow.reporting.backlog import Backlog
from orionflow.reporting.log_buffer import LogBuffer
from orionflow.reporting.outage import Outage


class Pace:
    """The clock of the sender. Numbers are those of the backlog and of the log buffer."""

    def __init__(self, backlog: Backlog, logs: LogBuffer, outage: Outage, *, interval: float, batch_size: int) -> None:
        self._backlog = backlog
        self._logs = logs
        self._outage = outage
        self._interval = interval
        self.batch_size = batch_size
        self._began = 0.0
        self._wanted = 0
        self._logs_wanted = 0

    def begin(self) -> None:
        """Note that the oldest waiting item arrived now."""
        self._began = time.monotonic()

    def hurry(self, number: int, logs_number: int = 0) -> None:
        """Note that a caller waits for everything up to these numbers."""
        self._wanted = max(self._wanted, number)
        self._logs_wanted = max(self._logs_wanted, logs_number)

    def pause(self) -> float | None:
        """Return how long the sender may sleep: zero if a batch is due, None (until it is woken) if nothing waits."""
        waiting, lines = self._backlog.waiting, len(self._logs)
        if not waiting and not lines:
            return None
        if self._outage.is_on:
            return max(0.0, self._outage.next_try_at - time.monotonic())
        if self._is_wanted or max(waiting, lines) >= self.batch_size:
            return 0.0
        return max(0.0, self._began + self._interval - time.monotonic())

    @property
    def _is_wanted(self) -> bool:
        return self._wanted > self._backlog.settled or self._logs_wanted > self._logs.settled
