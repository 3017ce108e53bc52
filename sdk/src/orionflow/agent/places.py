"""The places of an agent: how many runs it may execute at once, and who waits for one."""

from __future__ import annotations

import threading
import time


class Places:
    """Counts places. Whoever takes one gives it back, from any thread."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = total
        self._closed = False
        self._changed = threading.Condition()

    @property
    def is_closed(self) -> bool:
        return self._closed

    def take_all(self) -> int:
        """Take every place that is free now; how many those were."""
        with self._changed:
            taken, self._free = (0 if self._closed else self._free), (self._free if self._closed else 0)
            return taken

    def take_one(self, patience: float | None = None) -> bool:
        """Wait for a place; False when there was none in time, or when the agent takes no more runs."""
        until = None if patience is None else time.monotonic() + patience
        with self._changed:
            while not self._free and not self._closed:
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
            if self._closed:
                return False
            self._free -= 1
            return True

    def give_back(self, count: int = 1) -> None:
        with self._changed:
            self._free += count
            self._changed.notify_all()

    def close(self) -> None:
        """From now on nobody gets a place, and nobody waits for one."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
