"""Loggers that know their run, and their set-up.

Runs log by `get_run_logger()`; handlers (`orionflow.logging.handlers`) show the lines on stderr and report them to the
API. `print` becomes a log line in `orionflow.logging.prints`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import MutableMapping
from types import FrameType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow import tracing
from orionflow.code.sources import is_decorated
from orionflow.context import FlowRunContext, TaskRunContext, get_run_context
from orionflow.logging.handlers import REPORTED_BY_PARENT, ApiHandler, ConsoleFormatter, ConsoleHandler
from orionflow.settings import current_settings

if TYPE_CHECKING:
    from orionflow.task_runners.child import RunOfChild

    RunAdapter = logging.LoggerAdapter[logging.Logger]
else:
    RunAdapter = logging.LoggerAdapter

ROOT = "orionflow"
FLOW_RUNS = "orionflow.flow_runs"
TASK_RUNS = "orionflow.task_runs"

# The logger for the terminal of an agent: one line for each event.
agent_logger = logging.LoggerAdapter(logging.getLogger("orionflow.agent"), {"run_label": ""})

_lock = threading.Lock()
_set_up_for: tuple[int, bool, tuple[str, ...], bool] | None = None


def _renew_lock() -> None:
    # A thread of the parent may have held it during the fork.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class RunLogger(RunAdapter):
    """A logger whose lines belong to one run."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802
        if self.logger.disabled:
            _revive()
        return super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        # A plain adapter replaces the `extra` of a call by its own.
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
    found = context or TaskRunContext.get() or FlowRunContext.get() or _bare_call() or get_run_context()
    if isinstance(found, str):
        return RunLogger(logging.getLogger(TASK_RUNS), {"run_label": f"{found} - ", **extra})
    if isinstance(found, TaskRunContext):
        if found.of_parent is not None:
            return logger_of_child(found.of_parent, **extra)
        call = found.call
        return task_run_logger(call.flow_run, call.id, call.name, call.task.name, **extra)
    return flow_run_logger(found, **extra)


def _bare_call() -> str | None:
    """Return the name of the flow's or task's function, if code that a test called without a run asks for it."""
    # 0 is this function, and 1 is `get_run_logger`.
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if is_decorated(frame.f_code):
            set_up()
            return frame.f_code.co_name
        frame = frame.f_back
    return None


def current_logger() -> RunLogger | logging.Logger:
    """Return the logger of the run that this code belongs to; outside of runs Orion's own logger."""
    if TaskRunContext.get() or FlowRunContext.get():
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
        REPORTED_BY_PARENT: True,
    }
    return RunLogger(logging.getLogger(TASK_RUNS), {**more, **extra})


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
    # Also if the settings did not change: another library may have configured logging since.
    if logging.getLogger(ROOT).disabled:
        _revive()
    # Without the lock, as each new logger asks: if two threads go on, both apply the same, which changes nothing.
    if wanted == _set_up_for:
        return
    with _lock:
        _apply(*wanted)
        _set_up_for = wanted


def _apply(level: int, to_api: bool, extra_loggers: tuple[str, ...], as_json: bool) -> None:
    root = logging.getLogger(ROOT)
    if not is_shipping():
        _show_here(root, level, as_json)
    if as_json:
        from orionflow.json_lines import log_uncaught

        log_uncaught(root)
    for name in (FLOW_RUNS, TASK_RUNS, *extra_loggers):
        logger = logging.getLogger(name)
        for handler in [one for one in logger.handlers if isinstance(one, ApiHandler)]:
            logger.removeHandler(handler)
        if to_api:
            # In a child, the root lets all lines pass, for the parent to decide.
            in_child = is_shipping() and name in (FLOW_RUNS, TASK_RUNS)
            logger.addHandler(ApiHandler(level if in_child else logging.NOTSET))


def _show_here(root: logging.Logger, level: int, as_json: bool) -> None:
    root.setLevel(level)
    shown = next((one for one in root.handlers if isinstance(one, ConsoleHandler)), None)
    if shown is None:
        shown = ConsoleHandler()
        root.addHandler(shown)
        # Without this, programs with a console handler of their own would show every line twice.
        root.propagate = False
    _set_format(shown, as_json)


def console(as_json: bool) -> ConsoleHandler:
    """Return a new handler that shows lines as the settings say."""
    handler = ConsoleHandler()
    _set_format(handler, as_json)
    return handler


def _set_format(handler: ConsoleHandler, as_json: bool) -> None:
    if as_json:
        from orionflow.json_lines import JsonFormatter

        handler.setFormatter(JsonFormatter())
    elif not isinstance(handler.formatter, ConsoleFormatter):
        handler.setFormatter(ConsoleFormatter())


def is_shipping() -> bool:
    """Whether this is a child process whose lines are shown by its parent."""
    return any(getattr(handler, "ships", False) for handler in logging.getLogger(ROOT).handlers)


def ship_to(handler: logging.Handler) -> None:
    """Give all lines of this process to a handler that sends them to the parent, in place of the present handlers.

    The first run that begins in this process adds those that report its lines to the API.
    """
    global _set_up_for
    with _lock:
        root = logging.getLogger(ROOT)
        root.handlers[:] = [handler]
        root.propagate = False
        root.setLevel(logging.DEBUG)
        for name in (FLOW_RUNS, TASK_RUNS):
            logging.getLogger(name).handlers.clear()
        _set_up_for = None


def _revive() -> None:
    """Re-enable loggers: a logging configuration from a file disables those that it does not name."""
    known = logging.Logger.manager.loggerDict
    ours = [name for name in known if name.startswith(f"{ROOT}.")]
    for name in [ROOT, *current_settings().logging_extra_loggers, *ours]:
        if isinstance(logger := known.get(name), logging.Logger):
            logger.disabled = False
