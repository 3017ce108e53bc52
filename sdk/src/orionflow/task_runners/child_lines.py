"""The log lines of a child process: sent to the parent as they come, or returned with the outcome of their call.

The parent shows and reports them.
"""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING
from uuid import UUID

from orionflow.recordable import as_text

if TYPE_CHECKING:
    from orionflow.task_runners.child import RunOfChild
    from orionflow.task_runners.log_pipe import LogWriter

_to_parent: LogWriter | Collector | None = None
_TRAVELLING = frozenset({str, int, float, bool, UUID})


def send_lines_to(writer: LogWriter | Collector) -> None:
    """Send log lines of this process there from now on."""
    global _to_parent
    _to_parent = writer


class ShippingHandler(logging.Handler):
    """Sends lines to the parent, ready to be shown there."""

    ships = True

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._ship(record)
        except Exception:
            self.handleError(record)

    def _ship(self, record: logging.LogRecord) -> None:
        from orionflow.logging.handlers import REPORTED_BY_PARENT, is_reported, message_of

        record.msg, record.args = message_of(record), ()
        if record.exc_info:
            record.msg += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
            record.exc_info = record.exc_text = None
        record.__dict__.pop(REPORTED_BY_PARENT, None)
        # Lines that this process reported, of runs that began in it, are only shown by the parent.
        if is_reported(record):
            record.send_to_api = False
        # Other attributes that a program adds to its records may not be picklable.
        for name, value in list(record.__dict__.items()):
            if value is not None and type(value) not in _TRAVELLING and name != "args":
                record.__dict__[name] = as_text(value)
        if _to_parent is not None:
            _to_parent.put(record)


# Attributes of lines of a child process that the parent only reports: lines of other loggers, and lines that came after
# the end of their call, which a worker has shown.
_ONLY_REPORTED, _LATE = "only_reported", "is_late"


class ExtraHandler(logging.Handler):
    """Sends lines of another logger to the parent, to be reported. The child shows them as its program wants."""

    def __init__(self, logger: str, shipping: logging.Handler) -> None:
        super().__init__()
        self._logger = logger
        self._shipping = shipping

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._report(record)
        except Exception:
            self.handleError(record)

    def _report(self, record: logging.LogRecord) -> None:
        from orionflow.context import run_of_parent
        from orionflow.logging.handlers import is_reported, note_reported, with_run

        run = run_of_parent()
        # The process may work for flows with other settings, too.
        if run is None or self._logger not in run.extra_loggers or is_reported(record):
            return
        line = with_run(record, run.flow_run_id, run.task_run_id)
        line.__dict__[_ONLY_REPORTED] = True
        self._shipping.handle(line)
        note_reported(record)


class Lines(list[logging.LogRecord]):
    """Log lines that are returned with the outcome of the call that logged them."""

    run: RunOfChild | None = None

    def __init__(self) -> None:
        super().__init__()
        # The ids of flow runs that began in the call.
        self.begun: set[UUID] = set()


collected: ContextVar[Lines | None] = ContextVar("orion_collected_lines", default=None)
# Of the calls that have not ended, by the identity of their lines.
open_calls: dict[int, Lines] = {}
# Lines that came after the end of their calls, by their flow runs; and how many are kept, of how many flow runs.
late_lines: dict[UUID, deque[logging.LogRecord]] = {}
MOST_LATE, MOST_LATE_RUNS = 1000, 100


class Collector:
    """In place of a writer, for workers whose threads work for different runs: each call collects its own lines."""

    def put(self, line: logging.LogRecord) -> None:
        from orionflow.context import FlowRunContext, run_of_parent

        lines = collected.get()
        # A thread may have the context of a call that has ended.
        if lines is None or id(lines) not in open_calls:
            lines = _lines_of_run(line)
        elif run_of_parent() is None and (flow_run := FlowRunContext.get()) is not None:
            lines.begun.add(flow_run.id)
        if lines is not None:
            lines.append(line)
        else:
            _show_alone(line)
            _keep_late(line)


def _lines_of_run(line: logging.LogRecord) -> Lines | None:
    """Return the lines of the call to which one from a thread of its own belongs."""
    calls = list(open_calls.values())
    for name in ("task_run_id", "flow_run_id"):
        if (named := getattr(line, name, None)) is not None:
            for lines in calls:
                if lines.run is not None and getattr(lines.run, name) == named:
                    return lines
    # Never to just any call: it may be of another user's flow.
    return next((lines for lines in calls if getattr(line, "flow_run_id", None) in lines.begun), None)


def _show_alone(line: logging.LogRecord) -> None:
    """Show a line after the end of its call, as nobody may ask for it any more."""
    from orionflow.logging import console
    from orionflow.settings import current_settings

    settings = current_settings()
    if line.levelno >= settings.logging_level and not hasattr(line, _ONLY_REPORTED):
        console(settings.log_format == "json").handle(line)


def _keep_late(line: logging.LogRecord) -> None:
    """Keep a line that came after the end of its call, which the next call for its flow run returns."""
    flow_run_id = getattr(line, "flow_run_id", None)
    # Lines of nested flows were reported here.
    if not isinstance(flow_run_id, UUID) or getattr(line, "send_to_api", True) is False:
        return
    line.__dict__[_LATE] = True
    late_lines.setdefault(flow_run_id, deque(maxlen=MOST_LATE)).append(line)
    if len(late_lines) > MOST_LATE_RUNS:
        # Another thread may do the same at this moment.
        late_lines.pop(next(iter(late_lines.copy())), None)


def show_lines(lines: Sequence[logging.LogRecord]) -> None:
    """Log lines from another process as if they had been logged here. Late ones are only reported."""
    from orionflow.logging.handlers import ApiHandler, api_handler

    for line in lines:
        if line.__dict__.pop(_ONLY_REPORTED, False):
            api_handler().handle(line)
        elif (target := logging.getLogger(line.name)).isEnabledFor(line.levelno):
            if not line.__dict__.pop(_LATE, False):
                target.handle(line)
                continue
            for reporting in [one for one in target.handlers if isinstance(one, ApiHandler)]:
                reporting.handle(line)
