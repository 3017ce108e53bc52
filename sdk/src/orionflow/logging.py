"""Logging of runs: loggers that know their run, lines on the console and in the API, and `print` as a log line.

Runs log by `get_run_logger()`; the lines are shown on stderr and reported to the API.
"""

from __future__ import annotations

import builtins
import logging
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from copy import copy
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow import tracing
from orionflow.code.sources import is_decorated
from orionflow.context import FlowRunContext, TaskRunContext, _child_run, get_run_context
from orionflow.contract.masking import known
from orionflow.recordable import as_text
from orionflow.settings import current_settings

if TYPE_CHECKING:
    from orionflow.reporting import Reporter
    from orionflow.task_runners.child import RunOfChild

    RunAdapter = logging.LoggerAdapter[logging.Logger]
else:
    RunAdapter = logging.LoggerAdapter

ROOT = "orionflow"
FLOW_RUNS = "orionflow.flow_runs"
TASK_RUNS = "orionflow.task_runs"
# The API stores levels in two bytes.
SMALLEST_LEVEL, LARGEST_LEVEL = -(2**15), 2**15 - 1

# The logger for the terminal of an agent: one line for each event.
agent_logger = logging.LoggerAdapter(logging.getLogger("orionflow.agent"), {"run_label": ""})

_lock = threading.Lock()
_set_up_for: tuple[int, bool, tuple[str, ...], bool] | None = None


class RunLogger(RunAdapter):
    """A logger whose lines belong to one run."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802
        if self.logger.disabled:
            _revive()
        return super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def get_run_logger(context: FlowRunContext | TaskRunContext | None = None, **extra: Any) -> RunLogger:
    """Return the logger of the current run. Its lines are shown with the run and sent to the server.

    ```python
    from orionflow import flow, get_run_logger

    @flow
    def load(table: str) -> None:
        get_run_logger().info("loading %s", table)

    load("users")
    ```

    - `context`: the run whose logger is wanted; by default the current task run, or else the current flow run.
    - `extra`: fields for each line, as for `logging.LoggerAdapter`.

    Raises `MissingContext` outside of flows and tasks. In a function that a test calls directly, such as `load.fn(…)`,
    it returns a logger without a run.
    """
    if context is None and (child := _child_run.get()) is not None:
        return logger_of_child(child, **extra)
    found = context or TaskRunContext.get() or FlowRunContext.get() or _bare_call() or get_run_context()
    if isinstance(found, str):
        return RunLogger(logging.getLogger(TASK_RUNS), {"run_label": f"{found} - ", **extra})
    if isinstance(found, TaskRunContext):
        call = found.call
        return task_run_logger(call.flow_run, call.id, call.name, call.task.name, **extra)
    return flow_run_logger(found, **extra)


def _bare_call() -> str | None:
    """Return the name of the flow's or task's function, if code that a test called without a run asks for it."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if is_decorated(frame.f_code):
            set_up()
            return frame.f_code.co_name
        frame = frame.f_back
    return None


def current_logger() -> RunLogger | logging.Logger:
    """Return the logger of the run that this code belongs to; outside of runs Orion's own logger."""
    if _child_run.get() or TaskRunContext.get() or FlowRunContext.get():
        return get_run_logger()
    return logging.getLogger(ROOT)


def flow_run_logger(context: FlowRunContext, **extra: Any) -> RunLogger:
    run = context.flow_run
    return logger_for_flow_run(run.id, run.name or "", context.flow.name, **extra)


def logger_for_flow_run(id: UUID, name: str, flow_name: str, **extra: Any) -> RunLogger:
    set_up()
    more = {"flow_run_id": id, "flow_run_name": name, "flow_name": flow_name, "run_label": f"Flow run {name!r} - "}
    return RunLogger(logging.getLogger(FLOW_RUNS), {**more, **tracing.ids_of_present_span(), **extra})


def task_run_logger(flow_run: FlowRunContext, id: UUID, name: str, task_name: str, **extra: Any) -> RunLogger:
    set_up()
    more = {
        "flow_run_id": flow_run.id,
        "flow_run_name": flow_run.flow_run.name,
        "flow_name": flow_run.flow.name,
        "task_run_id": id,
        "task_run_name": name,
        "task_name": task_name,
        "run_label": f"Task run {name!r} - ",
    }
    return RunLogger(logging.getLogger(TASK_RUNS), {**more, **tracing.ids_of_present_span(), **extra})


def logger_of_child(run: RunOfChild, **extra: Any) -> RunLogger:
    """Return the logger of a task run in a child process; its lines are shown and reported by the parent."""
    names = run.names
    more = {
        "flow_run_id": run.flow_run_id,
        "task_run_id": run.task_run_id,
        "flow_name": names["flow"],
        "flow_run_name": names["flow_run"],
        "task_name": names["task"],
        "task_run_name": names["task_run"],
        "run_label": f"Task run {names['task_run']!r} - ",
    }
    return RunLogger(logging.getLogger(TASK_RUNS), {**more, **extra})


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
            line = super().format(with_plain_message(record))
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

        flow_run_id, task_run_id = _run_of(record)
        if flow_run_id is None or getattr(record, "send_to_api", True) is False:
            return
        message = message_of(record)
        if record.exc_info and record.exc_info[0] is not None:
            message += "\n" + _trace_of(record.exc_info)
        level = max(SMALLEST_LEVEL, min(record.levelno, LARGEST_LEVEL))
        _reporter().log(LogLine(as_text(record.name), level, message, _moment_of(record), flow_run_id, task_run_id))


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


def with_plain_message(record: logging.LogRecord) -> logging.LogRecord:
    """Return the record with its message already formatted."""
    plain = copy(record)
    plain.msg, plain.args = message_of(record), ()
    return plain


def _moment_of(record: logging.LogRecord) -> datetime:
    try:
        return datetime.fromtimestamp(record.created, UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        return datetime.now(UTC)


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


def _revive() -> None:
    """Re-enable loggers: a logging configuration from a file disables those that it does not name."""
    known = logging.Logger.manager.loggerDict
    for name in [
        ROOT,
        *current_settings().logging_extra_loggers,
        *(one for one in known if one.startswith(ROOT + ".")),
    ]:
        if isinstance(logger := known.get(name), logging.Logger):
            logger.disabled = False


def set_up() -> None:
    """Install handlers and levels on Orion's loggers, once, and again if the settings changed."""
    global _set_up_for
    settings = current_settings()
    wanted = (
        settings.logging_level,
        settings.logging_to_api,
        settings.logging_extra_loggers,
        settings.log_format == "json",
    )
    if logging.getLogger(ROOT).disabled:
        _revive()
    if wanted == _set_up_for:
        return
    with _lock:
        _apply(*wanted)
        _set_up_for = wanted


def _apply(level: int, to_api: bool, extra_loggers: tuple[str, ...], as_json: bool) -> None:
    root = logging.getLogger(ROOT)
    root.setLevel(level)
    console = next((one for one in root.handlers if isinstance(one, ConsoleHandler)), None)
    if console is None:
        console = ConsoleHandler()
        root.addHandler(console)
        # Without this, programs with a console handler of their own would show every line twice.
        root.propagate = False
    if as_json:
        from orionflow.json_lines import JsonFormatter, log_uncaught

        console.setFormatter(JsonFormatter())
        log_uncaught(root)
    elif not isinstance(console.formatter, ConsoleFormatter):
        console.setFormatter(ConsoleFormatter())
    for name in (FLOW_RUNS, TASK_RUNS, *extra_loggers):
        logger = logging.getLogger(name)
        for handler in [one for one in logger.handlers if isinstance(one, ApiHandler)]:
            logger.removeHandler(handler)
        if to_api:
            logger.addHandler(ApiHandler())


_printing = 0
_print = builtins.print
# The stdout of the outermost run; a program that replaces it by another stream wants to receive prints there.
_usual_stdout: ContextVar[Any] = ContextVar("orion_usual_stdout", default=None)


@contextmanager
def prints_logged(wanted: bool) -> Iterator[None]:
    """Turn `print` into log lines in the code of a run that wants it; other code prints as before."""
    global _printing, _print
    if not wanted:
        yield
        return
    with _lock:
        if _printing == 0 and builtins.print is not _print_or_log:
            _print = builtins.print
        _printing += 1
        builtins.print = _print_or_log
    before = _usual_stdout.get()
    if before is None:
        _usual_stdout.set(sys.stdout)
    try:
        yield
    finally:
        if before is None:
            _usual_stdout.set(None)
        with _lock:
            _printing -= 1
            # Another library may have replaced `print` in the meantime.
            if _printing == 0 and builtins.print is _print_or_log:
                builtins.print = _print


def _print_or_log(
    *values: Any, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False
) -> None:
    context = TaskRunContext.get() or FlowRunContext.get()
    if context is None or not context.log_prints or is_redirected(file):
        _print(*values, sep=sep, end=end, file=file, flush=flush)
        return
    get_run_logger(context).info("%s", (" " if sep is None else sep).join(map(str, values)))


def is_redirected(file: Any) -> bool:
    """Whether a `print` to this file goes elsewhere than to the program's output, as with `redirect_stdout`."""
    usual = _usual_stdout.get()
    target = sys.stdout if file is None else file
    return target is not (sys.stdout if usual is None else usual)
