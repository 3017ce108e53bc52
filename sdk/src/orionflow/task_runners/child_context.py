"""The run that a child process works for: its logger, its prints and its token."""

from __future__ import annotations

import builtins
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from orionflow import context as contexts
from orionflow.logging import logger_of_child
from orionflow.settings.stored_keys import token_of_caller
from orionflow.task_runners.child import RunOfChild, ShippingHandler


@contextmanager
def working_for(run: RunOfChild | None) -> Iterator[None]:
    """Send lines of the run's logger and, if wanted, of `print` to the parent during this block."""
    if run is None:
        yield
        return
    _ship_logs()
    if run.log_prints:
        _ship_prints()
    around = below(run.traceparent) if run.traceparent else nullcontext()
    token, speaking = contexts._child_run.set(run), token_of_caller.set(run.token)
    try:
        with around:
            yield
    finally:
        contexts._child_run.reset(token)
        token_of_caller.reset(speaking)


@contextmanager
def below(traceparent: str) -> Iterator[None]:
    """Make the span of the task run the parent of spans in the user's code, if OpenTelemetry is installed."""
    try:
        from opentelemetry import context as otel_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError:
        yield
        return
    token = otel_context.attach(TraceContextTextMapPropagator().extract({"traceparent": traceparent}))
    try:
        yield
    finally:
        otel_context.detach(token)


def _ship_logs() -> None:
    root = logging.getLogger("orionflow")
    if not any(isinstance(handler, ShippingHandler) for handler in root.handlers):
        root.handlers[:] = [ShippingHandler()]
        root.propagate = False
        root.setLevel(logging.DEBUG)


def _ship_prints() -> None:
    """Let `print` check which run it is called in: other threads may work for runs that do not log prints."""
    usual = builtins.print
    if getattr(usual, "asks_for_run", False):
        return

    stdout = sys.stdout

    def print(*values: Any, sep: str | None = " ", file: Any = None, **options: Any) -> None:
        run = contexts._child_run.get()
        target = sys.stdout if file is None else file
        if run is None or not run.log_prints or target is not stdout:
            usual(*values, sep=sep, file=file, **options)
            return
        logger_of_child(run).info("%s", (" " if sep is None else sep).join(map(str, values)))

    print.asks_for_run = True  # type: ignore[attr-defined]
    builtins.print = print
