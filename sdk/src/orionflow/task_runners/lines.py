"""Calls on workers whose threads work for different runs: the log lines of a call go back with its outcome."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextvars import ContextVar

from orionflow.task_runners.child import call_in_child, receive_queue

_lines: ContextVar[list[logging.LogRecord] | None] = ContextVar("orion_collected_lines", default=None)


class _Lines:
    def put(self, line: logging.LogRecord) -> None:
        if (lines := _lines.get()) is not None:
            lines.append(line)


def call_with_lines(payload: bytes) -> tuple[bytes, list[logging.LogRecord]]:
    """The packed outcome of a packed call, and the lines that were logged meanwhile."""
    receive_queue(_Lines())
    lines: list[logging.LogRecord] = []
    token = _lines.set(lines)
    try:
        return call_in_child(payload), lines
    finally:
        _lines.reset(token)


def show_lines(lines: Sequence[logging.LogRecord]) -> None:
    """Log lines from elsewhere as if they had been logged here."""
    for line in lines:
        if (target := logging.getLogger(line.name)).isEnabledFor(line.levelno):
            target.handle(line)
