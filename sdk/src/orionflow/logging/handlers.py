"""Handlers of Orion's loggers: lines on the console and in the API.

No line may fail a run: where a program logs what cannot be formatted, the line shows as much as possible.
"""

from __future__ import annotations

import logging
import sys
import weakref
from contextlib import suppress
from copy import copy
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow.context import FlowRunContext, TaskRunContext, run_of_parent
from orionflow.contract.masking import known
from orionflow.recordable import as_text

if TYPE_CHECKING:
    from orionflow.reporting import Reporter

# The API stores levels in two bytes.
SMALLEST_LEVEL, LARGEST_LEVEL = -(2**15), 2**15 - 1
# An attribute of lines of a child process about the run of its parent. The parent shows and reports them.
REPORTED_BY_PARENT = "reported_by_parent"
# Lines that were reported, or sent to the parent to be reported. Loggers may be nested, and a parent must not report a
# line again. Not an attribute, as programs may show all attributes of their lines.
_reported: weakref.WeakSet[logging.LogRecord] = weakref.WeakSet()


def is_reported(record: logging.LogRecord) -> bool:
    return record in _reported


def note_reported(record: logging.LogRecord) -> None:
    _reported.add(record)


def _is_reported_by_parent(record: logging.LogRecord) -> bool:
    if not getattr(record, REPORTED_BY_PARENT, False):
        return False
    from orionflow.logging import is_shipping

    # The child may have returned its logger to the parent.
    return is_shipping()


class ConsoleFormatter(logging.Formatter):
    """`12:30:01.123 | INFO    | Flow run 'calm-otter' - message`"""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d | %(levelname)-7s | %(run_label)s%(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        if not hasattr(record, "run_label"):
            record.run_label = f"{record.name} - "
        try:
            line = super().format(record)
        except Exception:
            line = super().format(_with_plain_message(record))
        return known.masked(line)


class ConsoleHandler(logging.StreamHandler[Any]):
    """Writes to the current `sys.stderr`, as test runners and notebooks replace it."""

    # The lowest level to show, raised by the commands' option to be quiet.
    least = logging.NOTSET

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(ConsoleFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < ConsoleHandler.least:
            return
        self.stream = sys.stderr
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        # If the stream is closed, the report of the error fails as well; no run may fail because of that.
        with suppress(Exception):
            super().handleError(record)


class ApiHandler(logging.Handler):
    """Reports log lines to the API under the run that they belong to."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._report(record)
        except Exception:
            self.handleError(record)

    def _report(self, record: logging.LogRecord) -> None:
        from orionflow.reporting import LogLine

        if is_reported(record) or run_of_parent() or _is_reported_by_parent(record):
            return
        flow_run_id, task_run_id = _run_of(record)
        if flow_run_id is None or getattr(record, "send_to_api", True) is False:
            return
        message = message_of(record)
        if record.exc_info and record.exc_info[0] is not None:
            message += "\n" + _trace_of(record.exc_info)
        level = max(SMALLEST_LEVEL, min(record.levelno, LARGEST_LEVEL))
        _reporter().log(LogLine(as_text(record.name), level, message, _moment_of(record), flow_run_id, task_run_id))
        note_reported(record)


@cache
def api_handler() -> ApiHandler:
    """Return the handler for lines of other processes that are only reported here."""
    return ApiHandler()


_formatter = logging.Formatter()


def _trace_of(exc_info: Any) -> str:
    try:
        return _formatter.formatException(exc_info)
    except Exception as error:
        return f"(its traceback cannot be shown: {type(error).__name__})"


def message_of(record: logging.LogRecord) -> str:
    """Return the text of a line; if its arguments do not fit the text, append them."""
    try:
        return record.getMessage()
    except Exception as error:
        why = f"{type(error).__name__}: {as_text(error)}"
        return f"{as_text(record.msg)} (its arguments do not fit, {why}: {_shown(record.args)})"


def _shown(arguments: object) -> str:
    try:
        return repr(arguments)
    except Exception:
        return f"<{type(arguments).__name__}>"


def _with_plain_message(record: logging.LogRecord) -> logging.LogRecord:
    """Return the record with its message already formatted."""
    plain = copy(record)
    plain.msg, plain.args = message_of(record), ()
    return plain


def _moment_of(record: logging.LogRecord) -> datetime:
    try:
        return datetime.fromtimestamp(record.created, UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        return datetime.now(UTC)


def with_run(record: logging.LogRecord, flow_run_id: UUID, task_run_id: UUID) -> logging.LogRecord:
    """Return a copy of the record that names the run it belongs to: a task run, unless the record names another."""
    named = copy(record)
    named_flow_run, named_task_run = _id_in(record, "flow_run_id"), _id_in(record, "task_run_id")
    if named_flow_run is None and named_task_run is None:
        named_task_run = task_run_id
    named.__dict__.update(flow_run_id=named_flow_run or flow_run_id, task_run_id=named_task_run)
    return named


def _run_of(record: logging.LogRecord) -> tuple[UUID | None, UUID | None]:
    task_run, flow_run = TaskRunContext.get(), FlowRunContext.get()
    named_flow_run, named_task_run = _id_in(record, "flow_run_id"), _id_in(record, "task_run_id")
    if named_task_run is None and named_flow_run is None and task_run is not None:
        named_task_run = task_run.id
    return named_flow_run or (flow_run.id if flow_run else None), named_task_run


def _reporter() -> Reporter:
    flow_run = FlowRunContext.get()
    if flow_run is not None:
        return flow_run.reporter
    from orionflow.reporting import get_reporter

    return get_reporter()


def _id_in(record: logging.LogRecord, name: str) -> UUID | None:
    """Return the id in an attribute of the record; None if a program uses that attribute for something else."""
    value = getattr(record, name, None)
    if value is None or isinstance(value, UUID):
        return value
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError):
        return None
