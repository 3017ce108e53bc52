"""A line at the bottom of the screen that is redrawn repeatedly; if stderr is not a screen, it does nothing.

All other output meanwhile appears above it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

from orionflow.cli.safe_text import one_line
from orionflow.cli.style import counted
from orionflow.cli.terminal import Terminal
from orionflow.cli.times import duration

# Four redraws a second look smooth, and are cheap on a slow connection.
LEAST_SECONDS_BETWEEN = 0.25
_ERASE = "\r\x1b[2K"


class StatusLine:
    """A line that shows what the command waits for."""

    def __init__(self, terminal: Terminal) -> None:
        self.is_shown = sys.stderr.isatty() and not terminal.quiet and os.environ.get("TERM") != "dumb"
        self.width = terminal.width
        # Reentrant, because a stream above the line clears it while it writes.
        self.lock = threading.RLock()
        self.is_within_a_line = False
        # The stream itself, which `below_everything` replaces.
        self._screen = sys.stderr
        self._drawn_at = 0.0
        self._is_drawn = False

    def show(self, text: str) -> None:
        now = time.monotonic()
        with self.lock:
            # An incomplete line of other output must not be erased.
            if not self.is_shown or self.is_within_a_line or now - self._drawn_at < LEAST_SECONDS_BETWEEN:
                return
            self._drawn_at, self._is_drawn = now, True
            self._screen.write(_ERASE + one_line(text)[: self.width - 1])
            self._screen.flush()

    def clear(self) -> None:
        with self.lock:
            if self._is_drawn:
                self._screen.write(_ERASE)
                self._screen.flush()
                self._is_drawn = False

    @contextmanager
    def below_everything(self) -> Iterator[None]:
        """Print all output of the process above the line, during this block."""
        if not self.is_shown:
            yield
            return
        above_out: Any = _Above(sys.stdout, self)
        above_err: Any = _Above(sys.stderr, self)
        with redirect_stdout(above_out), redirect_stderr(above_err):
            try:
                yield
            finally:
                self.clear()


class _Above:
    """A stream that removes the status line before it writes."""

    def __init__(self, stream: TextIO, status: StatusLine) -> None:
        self._stream = stream
        self._status = status

    def write(self, text: str) -> int:
        with self._status.lock:
            self._status.clear()
            self._status.is_within_a_line = bool(text) and not text.endswith("\n")
            return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def progress_text(name: str, state: str, finished: int, known: int, seconds: float) -> str:
    """Return a text such as `brave-otter Running: 38 tasks finished, 2 under way, 12s`.

    There is no bar: the number of remaining tasks is only known when the flow has called them.
    """
    under_way = f", {known - finished} under way" if known > finished else ""
    return f"{name} {state}: {counted(finished, 'task')} finished{under_way}, {duration(round(seconds))}"
