"""Logs for machines (`ORION_LOG_FORMAT=json`): one JSON object per line, for servers, services, agents and programs.

The module only imports the standard library and the masks, so that a server does not load the rest of the SDK.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from orionflow.contract.masking import known

# Attributes of log records that become fields of the line.
FIELDS = (
    "flow_run_id",
    "flow_run_name",
    "flow_name",
    "task_run_id",
    "task_run_name",
    "task_name",
    "trace_id",
    "span_id",
)
# Fields of every line of this process, such as the name of its agent, and functions that return the current fields.
always: dict[str, str] = {}
present: list[Callable[[], Mapping[str, Any]]] = []


class JsonFormatter(logging.Formatter):
    """`{"time": "2026-01-05T12:00:00.123Z", "level": "ERROR", "logger": "orion.agents", "message": "…"}`"""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _moment(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            "process": record.process,
            **always,
        }
        for fields in present:
            line.update(fields())
        line.update({name: str(value) for name in FIELDS if (value := getattr(record, name, None))})
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__qualname__
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        masked = {name: known.masked(value) if isinstance(value, str) else value for name, value in line.items()}
        # ASCII, so that the result is always one line and every stream can write it.
        return json.dumps(masked)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # A line with the wrong arguments is better than no line.
        return f"{record.msg!r} {record.args!r}"


def line_of(text: str, logger: str = "orion") -> str:
    """Return the JSON line for a text that did not come from a log record, such as terminal output of a program."""
    fields = {"name": logger, "levelno": logging.INFO, "levelname": "INFO", "msg": text.strip()}
    return JsonFormatter().format(logging.makeLogRecord(fields))


def are_wanted() -> bool:
    """Whether this process logs JSON, for code that needs to know before the settings are read."""
    return os.environ.get("ORION_LOG_FORMAT", "").strip().lower() == "json"


def print_line(text: str, logger: str = "orion") -> None:
    """Print a text on stderr: as it is, or as a JSON line if logs are JSON."""
    print(line_of(text, logger) if are_wanted() else text, file=sys.stderr, flush=True)


def log_uncaught(logger: logging.Logger) -> None:
    """Log uncaught errors of all threads and Python's warnings, so that they become lines as well."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        logger.critical("Uncaught %s", kind.__qualname__, exc_info=(kind, error, trace))

    def of_thread(raised: threading.ExceptHookArgs) -> None:
        if raised.exc_value is not None and not issubclass(raised.exc_type, SystemExit):
            hook(raised.exc_type, raised.exc_value, raised.exc_traceback)

    sys.excepthook, threading.excepthook = hook, of_thread
    logging.captureWarnings(True)
