"""Log lines about one kind of failure that lasts: at once, again at growing intervals, and when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable

from orionflow.logging import agent_logger

# Seconds. An agent that takes no work for hours must not look well in the newest lines of its log.
FIRST_INTERVAL = 60.0
LONGEST_INTERVAL = 3600.0


class OutageLog:
    """Logs failures of one kind. `over` is the line for the first success after them."""

    def __init__(self, over: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._over = over
        self._monotonic = monotonic
        self._began: float | None = None
        self._interval = FIRST_INTERVAL
        self._next = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the last attempt failed."""
        return self._began is not None

    def failed(self, message: str, *args: object) -> None:
        now = self._monotonic()
        if self._began is None:
            self._began, self._interval = now, FIRST_INTERVAL
            agent_logger.warning(message, *args)
        elif now < self._next:
            return
        else:
            agent_logger.warning(f"{message} (for %s)", *args, _in_words(now - self._began))
            self._interval = min(self._interval * 2, LONGEST_INTERVAL)
        self._next = now + self._interval

    def succeeded(self) -> None:
        if self._began is None:
            return
        lasted, self._began = self._monotonic() - self._began, None
        agent_logger.info("%s (after %s)", self._over, _in_words(lasted))


def _in_words(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
