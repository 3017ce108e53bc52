"""The run that a child process works for: its logger and its prints."""

from __future__ import annotations

import builtins
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from orionflow import context as contexts
from orionflow.task_runners.child import RunOfChild, ShippingHandler


@contextmanager
def working_for(run: RunOfChild | None) -> Iterator[None]:
    """In this block the run's logger and, where wanted, `print` ship lines to the parent."""
    if run is None:
        yield
        return
    _ship_logs()
    token = contexts._child_run.set(run)
    usual_print = builtins.print
    if run.log_prints:
        builtins.print = _logging_print(run, usual_print)
    try:
        yield
    finally:
        builtins.print = usual_print
        contexts._child_run.reset(token)


def _ship_logs() -> None:
    root = logging.getLogger("orionflow")
    if not any(isinstance(handler, ShippingHandler) for handler in root.handlers):
        root.handlers[:] = [ShippingHandler()]
        root.propagate = False
        root.setLevel(logging.DEBUG)


def _logging_print(run: RunOfChild, usual: Any) -> Any:
    from orionflow.logging import logger_of_child

    def print(*values: Any, sep: str | None = " ", file: Any = None, **options: Any) -> None:
        if file not in (None, sys.stdout):
            usual(*values, sep=sep, file=file, **options)
            return
        logger_of_child(run).info("%s", (" " if sep is None else sep).join(map(str, values)))

    return print
