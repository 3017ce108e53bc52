"""The run that a child process works for: its logger, its prints and its token."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from orionflow import context as contexts
from orionflow.logging import ROOT, is_shipping, ship_to
from orionflow.logging.prints import prints_logged
from orionflow.settings.stored_keys import token_of_caller
from orionflow.task_runners.child import ExtraHandler, RunOfChild, ShippingHandler


@contextmanager
def working_for(run: RunOfChild | None) -> Iterator[None]:
    """Send lines of the run's logger and, if wanted, of `print` to the parent during this block."""
    if run is None:
        yield
        return
    _ship_logs(run.extra_loggers)
    run.around = contexts._flow_run.get(), contexts._task_run.get()
    around = below(run.traceparent) if run.traceparent else nullcontext()
    printing = prints_logged(True) if run.log_prints else nullcontext()
    token, speaking = contexts._child_run.set(run), token_of_caller.set(run.token)
    try:
        with around, printing:
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


def _ship_logs(extra_loggers: tuple[str, ...]) -> None:
    if not is_shipping():
        ship_to(ShippingHandler())
    for name in extra_loggers:
        logger = logging.getLogger(name)
        # Those of Orion are sent as lines of runs are.
        if f"{name}.".startswith(f"{ROOT}.") or any(isinstance(one, ExtraHandler) for one in logger.handlers):
            continue
        logger.addHandler(ExtraHandler(name, logging.getLogger(ROOT).handlers[0]))
