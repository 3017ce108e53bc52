"""The context of the run that a child process works for: its logger, its prints, its tags and its token."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from orionflow import context as contexts
from orionflow.logging import ROOT, is_shipping, ship_to
from orionflow.logging.prints import prints_logged
from orionflow.settings.stored_keys import token_of_caller
from orionflow.task_runners.child import RunOfChild
from orionflow.task_runners.child_lines import ExtraHandler, ShippingHandler
from orionflow.task_runners.runs_of_parent import TaskRunOfParent


@contextmanager
def working_for(
    run: RunOfChild | None, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterator[None]:
    """Let code in this block belong to the run, and send lines of its logger and, if wanted, of `print` to the parent.

    The caller gives each call a context of its own. Whether the process was forked makes no difference: what it has
    from the thread that forked it, for an earlier call, is put aside.
    """
    contexts._flow_run.set(None)
    contexts._task_run.set(None if run is None else TaskRunOfParent(run, fn, args, kwargs))
    contexts._tags.set(frozenset() if run is None else run.tags_inside)
    if run is None:
        yield
        return
    token_of_caller.set(run.token)
    _ship_logs(run.extra_loggers)
    around = below(run.traceparent) if run.traceparent else nullcontext()
    printing = prints_logged(True) if run.log_prints else nullcontext()
    with around, printing:
        yield


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
