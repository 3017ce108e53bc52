"""One line at the bottom of the screen that is drawn again and again; where stderr is no screen it does nothing."""

from __future__ import annotations

import os
import sys
import time

from orionflow.cli.terminal import Terminal
from orionflow.cli.times import duration

# Four redraws a second are enough for the eye and cheap for a slow line.
LEAST_SECONDS_BETWEEN = 0.25
BAR_WIDTH = 20
_ERASE = "\r\x1b[2K"


class StatusLine:
    """What is being waited for, right now."""

    def __init__(self, terminal: Terminal) -> None:
        self.is_shown = sys.stderr.isatty() and not terminal.quiet and os.environ.get("TERM") != "dumb"
        self.width = terminal.width
        self._drawn_at = 0.0
        self._is_dirty = False

    def show(self, text: str) -> None:
        now = time.monotonic()
        if not self.is_shown or now - self._drawn_at < LEAST_SECONDS_BETWEEN:
            return
        self._drawn_at, self._is_dirty = now, True
        sys.stderr.write(_ERASE + text[: self.width - 1])
        sys.stderr.flush()

    def clear(self) -> None:
        if self._is_dirty:
            sys.stderr.write(_ERASE)
            sys.stderr.flush()
            self._is_dirty = False


def progress_text(name: str, state: str, finished: int, known: int, seconds: float) -> str:
    """`brave-otter Running [#####---------------] 38/40 tasks 12s`"""
    filled = BAR_WIDTH * finished // known if known else 0
    bar = "#" * filled + "-" * (BAR_WIDTH - filled)
    return f"{name} {state} [{bar}] {finished}/{known} tasks {duration(round(seconds))}"
