"""Spans of attempts. They are created when an attempt has ended, with ids that are derived from the records.

So the attempt of a deployed run in another process finds the span of its caller from the run's record alone, and
nothing is passed between processes. While the user's code runs, its own spans get the attempt's span as parent.
"""

from __future__ import annotations

import atexit
import time
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from orionflow import tracing
from orionflow.context import FlowRunContext, TaskRunContext
from orionflow.contract.masking import known
from orionflow.contract.states import BAD
from orionflow.contract.traces import named_trace, span_id_of, trace_id_of, traceparent_of
from orionflow.engine.attempt import attempt_task
from orionflow.engine.exits import as_raised, is_closed
from orionflow.engine.flow_attempt import attempt_flow
from orionflow.recordable import as_text
from orionflow.states import State

if TYPE_CHECKING:
    from orionflow.engine.active_flow_run import ActiveFlowRun
    from orionflow.engine.effects import Steps
    from orionflow.engine.run_calls import TaskCall

# Seconds by which a collector that is away may delay the end of a process.
EXPORT_SECONDS = 3
LONGEST_TEXT = 4_000
SCOPE = InstrumentationScope("orionflow")


def sending_to(url: str) -> SpanProcessor:
    """Return a processor that sends spans by OTLP over HTTP, and follows the usual `OTEL_EXPORTER_OTLP_…` variables."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=EXPORT_SECONDS))
    atexit.register(processor.shutdown)
    return processor


class Tracing:
    """The destination of the spans of this process."""

    def __init__(self, processor: SpanProcessor) -> None:
        self.processor = processor
        # Includes OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
        self.resource = Resource.create()
        if str(self.resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
            self.resource = self.resource.merge(Resource({SERVICE_NAME: "orionflow"}))

    def flow_run(self, active: ActiveFlowRun, context: FlowRunContext) -> Attempt:
        run = context.flow_run
        named = named_trace(run.context)
        attributes = {
            "orion.flow.name": active.flow.name,
            "orion.flow_run.id": str(run.id),
            "orion.flow_run.name": run.name or "",
            "orion.attempt": context.attempt,
            "orion.deployment.id": str(run.deployment_id) if run.deployment_id else "",
            "orion.work_queue.name": run.work_queue_name or "",
        }
        parent = _span_context(named[0], named[1], is_sampled=named[2], is_remote=True) if named else None
        return Attempt(self, active.flow.name, run.id, context.attempt, trace_of(context), parent, attributes)

    def task_run(self, call: TaskCall) -> Attempt:
        """Return the span of a task run's next attempt, or the only one of a call that did not run."""
        flow_run = call.flow_run
        attributes = {
            "orion.flow.name": flow_run.flow.name,
            "orion.flow_run.id": str(flow_run.id),
            "orion.task.name": call.task.name,
            "orion.task_run.id": str(call.id),
            "orion.task_run.name": call.name,
            "orion.attempt": max(call.run_count, 1),
            "orion.retries": call.task.retries,
        }
        trace_id, is_sampled = trace_of(flow_run)
        parent = _span_context(trace_id, span_of_flow_run(flow_run), is_sampled=is_sampled)
        return Attempt(
            self, call.task.name, call.id, max(call.run_count, 1), (trace_id, is_sampled), parent, attributes
        )

    def not_run(self, call: TaskCall, state: State[Any]) -> None:
        """Record a span without duration for a task run that took its state from the cache or an earlier attempt."""
        attempt = self.task_run(call)
        attempt.attributes["orion.cached"] = True
        attempt.ended(state)
        attempt.close()


class Attempt:
    """The span of one attempt, until `close`; between `enter` and `leave` it is the parent of the user's own spans."""

    def __init__(
        self,
        to: Tracing,
        name: str,
        run_id: UUID,
        number: int,
        trace_id: tuple[str, bool],
        parent: SpanContext | None,
        attributes: dict[str, Any],
    ) -> None:
        self._to, self._name, self._parent, self.attributes = to, name, parent, attributes
        own, is_sampled = trace_id
        self.context = _span_context(own, span_id_of(run_id, number), is_sampled=is_sampled)
        before = [_span_context(own, span_id_of(run_id, number - 1), is_sampled=is_sampled)] if number > 1 else []
        self._links = [Link(one, {"orion.link": "attempt before"}) for one in before]
        self._began = time.time_ns()
        self._events: list[Event] = []
        self._status = Status(StatusCode.UNSET)
        self._token: Any = None

    def enter(self) -> None:
        self._token = otel_context.attach(trace.set_span_in_context(NonRecordingSpan(self.context)))

    def leave(self) -> None:
        otel_context.detach(self._token)

    def ended(self, state: State[Any]) -> None:
        self.attributes |= {"orion.state.type": state.type.value, "orion.state.name": state.name}
        if state.type in BAD:
            self._status = Status(StatusCode.ERROR, _shown(state.message or state.name))
            if isinstance(state.value, BaseException):
                self._note(state.value)
        elif state.is_completed():
            self._status = Status(StatusCode.OK)

    def failed(self, error: BaseException) -> None:
        """Note that the attempt ended for a reason outside of the user's function."""
        self._status = Status(StatusCode.ERROR, type(error).__name__)
        self._note(error)

    def _note(self, error: BaseException) -> None:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        attributes = {
            "exception.type": type(error).__qualname__,
            "exception.message": _shown(as_text(error)),
            # Masked before it is cut, as a part of a secret would not be recognized.
            "exception.stacktrace": known.masked("".join(lines))[-LONGEST_TEXT:],
        }
        self._events.append(Event("exception", attributes, time.time_ns()))

    def close(self) -> None:
        if not self.context.trace_flags.sampled:
            return
        span = ReadableSpan(
            name=_shown(self._name),
            context=self.context,
            parent=self._parent,
            resource=self._to.resource,
            attributes=_recorded(self.attributes),
            events=self._events,
            links=self._links,
            kind=SpanKind.INTERNAL,
            status=self._status,
            start_time=self._began,
            end_time=time.time_ns(),
            instrumentation_scope=SCOPE,
        )
        self._to.processor.on_end(span)


def traced_flow(active: ActiveFlowRun, context: FlowRunContext, running: State[Any]) -> Steps[State[Any]]:
    """Perform `attempt_flow` with a span."""
    to = tracing.current
    assert to is not None
    attempt = to.flow_run(active, context)
    try:
        state = yield from _within(attempt, attempt_flow(active, context, running))
    finally:
        if active.parent is None:
            # The process may end without further steps.
            to.processor.force_flush(EXPORT_SECONDS * 1000)
    return state


def traced_task(call: TaskCall, cache_key: str | None) -> Steps[State[Any]]:
    """Perform `attempt_task` with a span."""
    to = tracing.current
    assert to is not None
    return (yield from _within(to.task_run(call), attempt_task(call, cache_key)))


def _within(attempt: Attempt, steps: Steps[State[Any]]) -> Steps[State[Any]]:
    attempt.enter()
    try:
        state = yield from steps
        attempt.ended(state)
    except BaseException as error:
        # If Python closed the coroutine, another context is current.
        if not is_closed(error):
            attempt.failed(as_raised(error))
            attempt.leave()
        attempt.close()
        raise
    attempt.leave()
    attempt.close()
    return state


def trace_of(flow_run: FlowRunContext) -> tuple[str, bool]:
    """Return the trace id of a flow run, and whether the trace is recorded."""
    run = flow_run.flow_run
    named = named_trace(run.context)
    return trace_id_of(run.id, run.context), named[2] if named else True


def span_of_flow_run(flow_run: FlowRunContext) -> str:
    return span_id_of(flow_run.id, flow_run.attempt)


def present() -> str | None:
    """Return the `traceparent` for this code: that of its task run or flow run, otherwise of an enclosing span."""
    if (task := TaskRunContext.get()) is not None:
        call = task.call
        trace_id, is_sampled = trace_of(call.flow_run)
        return traceparent_of(trace_id, span_id_of(call.id, max(call.run_count, 1)), is_sampled=is_sampled)
    if (flow_run := FlowRunContext.get()) is not None:
        trace_id, is_sampled = trace_of(flow_run)
        return traceparent_of(trace_id, span_of_flow_run(flow_run), is_sampled=is_sampled)
    around = trace.get_current_span().get_span_context()
    if not around.is_valid:
        return None
    return traceparent_of(
        f"{around.trace_id:032x}", f"{around.span_id:016x}", is_sampled=bool(around.trace_flags.sampled)
    )


def _span_context(trace_id: str, span_id: str, *, is_sampled: bool, is_remote: bool = False) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=is_remote, trace_flags=flags)


def _recorded(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _shown(one) if isinstance(one, str) else one for key, one in attributes.items() if one != ""}


def _shown(text: str) -> str:
    return known.masked(text)[:LONGEST_TEXT]
