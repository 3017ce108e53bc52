"""Traces of runs with OpenTelemetry: a span for each attempt of a flow run and of a task run.

Off unless `ORION_TRACES_URL` names an address for spans. While it is off, `current` is None and OpenTelemetry is not
imported.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from orionflow.contract.traces import TRACEPARENT

if TYPE_CHECKING:
    from orionflow.tracing.spans import Tracing

current: Tracing | None = None
_asked_for: str | None = None


def carried() -> dict[str, str] | None:
    """Return the part of a new run's `context` that names the span around it."""
    if current is None:
        return None
    from orionflow.tracing.spans import present

    traceparent = present()
    return {TRACEPARENT: traceparent} if traceparent else None


def ids_of_present_span() -> dict[str, str]:
    """Return `trace_id` and `span_id` for log lines; empty while runs are not traced."""
    if current is None:
        return {}
    from orionflow.tracing.spans import present

    if (traceparent := present()) is None:
        return {}
    _, trace_id, span_id, _ = traceparent.split("-")
    return {"trace_id": trace_id, "span_id": span_id}


def begin(url: str | None) -> None:
    """Send spans to this address from now on. Repeated calls only cost a comparison."""
    global current, _asked_for
    if url is None or url == _asked_for:
        return
    _asked_for = url
    try:
        from orionflow.tracing.spans import Tracing, sending_to
    except ImportError as error:
        from orionflow.extras import install_command

        logging.getLogger("orionflow").warning(
            "Runs are not traced, as ORION_TRACES_URL wants: %s. Install it: %s", error, install_command("otel")
        )
        return
    current = Tracing(sending_to(url))
