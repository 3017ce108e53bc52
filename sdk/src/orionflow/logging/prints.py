"""`print` as a log line, in the code of runs that want that."""

from __future__ import annotations

import builtins
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from orionflow.context import FlowRunContext, TaskRunContext
from orionflow.logging import get_run_logger

_lock = threading.Lock()
# How many runs want that at the moment.
_printing = 0
_print = builtins.print
# The stdout of the outermost run; a program that replaces it by another stream wants to receive prints there.
_usual_stdout: ContextVar[Any] = ContextVar("orion_usual_stdout", default=None)


def _renew_lock() -> None:
    # A thread of the parent may have held it during the fork.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


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
    get_run_logger().info("%s", (" " if sep is None else sep).join(map(str, values)))


def is_redirected(file: Any) -> bool:
    """Whether a `print` to this file goes elsewhere than to the program's output, as with `redirect_stdout`."""
    usual = _usual_stdout.get()
    target = sys.stdout if file is None else file
    return target is not (sys.stdout if usual is None else usual)
