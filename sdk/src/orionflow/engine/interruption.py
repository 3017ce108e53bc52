"""Interrupting a thread anywhere but in the middle of reporting, where an exception would leave half a step behind."""

from __future__ import annotations

import time
from types import FrameType

DELICATE = "orionflow.reporting"
# The API may be away for minutes while a thread waits in there: an interrupt that came so long ago is raised anyway.
LONGEST_DELAY = 1.0
RETRY_AFTER = 0.005


class Postponed:
    """Since when an interrupt waits for the thread to leave what is delicate."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: float | None = None

    def should_wait(self, frame: FrameType | None) -> bool:
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since < LONGEST_DELAY and is_delicate(frame):
            return True
        self._since = None
        return False


def is_delicate(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(DELICATE):
            return True
        frame = frame.f_back
    return False
