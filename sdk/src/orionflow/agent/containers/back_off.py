"""Waits before the next request to an engine or a cluster that was unreachable, busy or asked too often."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping

SHORTEST, LONGEST = 0.5, 30.0


class BackOff:
    """Waits longer after each failure in a row, randomized so that clients do not retry together."""

    def __init__(self, shortest: float = SHORTEST, longest: float = LONGEST) -> None:
        self._shortest, self._longest = shortest, longest
        self._failures = 0

    def succeed(self) -> None:
        self._failures = 0

    def seconds(self, at_least: float = 0.0) -> float:
        """Return the seconds to wait after one more failure."""
        grown: float = min(self._shortest * 2 ** min(self._failures, 16), self._longest)
        self._failures += 1
        return max(at_least, grown * random.uniform(0.5, 1.0))

    def wait(self, over: threading.Event, at_least: float = 0.0) -> bool:
        """Wait; return True if `over` is set meanwhile."""
        return over.wait(self.seconds(at_least))


def retry_after(headers: Mapping[str, str] | None) -> float:
    """Return the seconds that an answer asks to wait, within limits."""
    try:
        return min(max(float((headers or {}).get("Retry-After", 0)), 0.0), LONGEST)
    except ValueError:
        return 0.0
