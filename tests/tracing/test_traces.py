"""Spans of runs, with their parents and attributes; without tracing, nothing of it is loaded."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from orionflow import flow, get_run_logger, pause_flow_run, resume_flow_run, task, tracing
from orionflow.contract.masking import KnownSecrets
from orionflow.contract.traces import named_trace, span_id_of, trace_id_of
from orionflow.task_runners import ConcurrentTaskRunner, ProcessTaskRunner
from orionflow.tracing import spans as spans_module
from orionflow.tracing.spans import LONGEST_TEXT
from tests.sdk.test_pausing import paused_run
from tests.site.running import environment, running_server
from tests.tracing.flows import called, double


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


def test_a_flow_and_its_tasks_are_one_trace(spans: InMemorySpanExporter):
    @flow
    def etl() -> int:
        return double(1) + double.submit(2).result()

    state = etl(return_state=True)

    *tasks, own = spans.get_finished_spans()
    assert [one.name for one in tasks] == ["double", "double"]
    assert own.name == "etl"
    assert own.parent is None
    assert {one.parent.span_id for one in tasks} == {own.context.span_id}
    assert {one.context.trace_id for one in (*tasks, own)} == {state.state_details.flow_run_id.int}
    assert own.attributes["orion.flow_run.id"] == str(state.state_details.flow_run_id)
    assert own.attributes["orion.state.type"] == "COMPLETED"
    assert own.status.status_code is StatusCode.OK
    assert own.start_time <= tasks[0].start_time <= tasks[0].end_time <= own.end_time


def test_ids_follow_from_the_records(spans: InMemorySpanExporter):
    @flow
    def etl() -> int:
        return double(1)

    state = etl(return_state=True)

    run_id = state.state_details.flow_run_id
    own = by_name(spans)["etl"]
    assert f"{own.context.span_id:016x}" == span_id_of(run_id, 1)
    assert f"{own.context.trace_id:032x}" == trace_id_of(run_id, {})


def test_a_subflow_is_below_its_caller(spans: InMemorySpanExporter):
    @flow
    def inner() -> int:
        return double(1)

    @flow
    def outer() -> int:
        return inner()

    outer()

    found = by_name(spans)
    assert found["inner"].parent.span_id == found["outer"].context.span_id
    assert found["double"].parent.span_id == found["inner"].context.span_id
    assert len({one.context.trace_id for one in found.values()}) == 1


def test_no_part_of_a_secret_is_left_where_a_long_traceback_is_cut(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
):
    secret = "correct-horse-battery-staple"
    monkeypatch.setattr("orionflow.tracing.spans.known", KnownSecrets())
    spans_module.known.learn([secret])

    @flow
    def etl() -> None:
        raise ValueError(secret + "x" * (LONGEST_TEXT - len(secret) + 8))

    etl(return_state=True)

    (own,) = spans.get_finished_spans()
    assert "staple" not in str(own.events[0].attributes)
    assert "staple" not in str(own.status.description)


def test_spans_after_a_pause_are_below_the_attempt_that_paused(spans: InMemorySpanExporter):
    tries: list[int] = []

    @flow(retries=1)
    def approved() -> int:
        tries.append(1)
        double(0)
        pause_flow_run(timeout=None, poll_interval=1)
        double(len(tries))
        if len(tries) == 1:
            raise ValueError("not yet")
        return 1

    def resume() -> None:
        for _ in range(2):
            resume_flow_run(paused_run("approved").id)

    resuming = Thread(target=resume)
    resuming.start()
    approved()
    resuming.join()

    spans_in_order = spans.get_finished_spans()
    first, second = (span for span in spans_in_order if span.name == "approved")
    assert [span.parent.span_id for span in spans_in_order if span.name == "double"] == [
        *[first.context.span_id] * 2,
        *[second.context.span_id] * 2,
    ]
    assert [link.context.span_id for link in second.links] == [first.context.span_id]


def test_each_attempt_is_a_span_linked_to_the_one_before(spans: InMemorySpanExporter):
    tries = []

    @task(retries=1)
    def flaky() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")
        return 1

    @flow
    def etl() -> int:
        return flaky()

    etl()

    first, second = (one for one in spans.get_finished_spans() if one.name == "flaky")
    assert first.status.status_code is StatusCode.ERROR
    assert first.events[0].attributes["exception.type"] == "ValueError"
    assert first.events[0].attributes["exception.message"] == "not yet"
    assert "flaky" in str(first.events[0].attributes["exception.stacktrace"])
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    assert [one.attributes["orion.attempt"] for one in (first, second)] == [1, 2]
    assert [one.attributes["orion.retries"] for one in (first, second)] == [1, 1]


def test_attempts_of_flows_are_linked_too(spans: InMemorySpanExporter):
    tries = []

    @flow(retries=1)
    def flaky() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")

    flaky()

    first, second = spans.get_finished_spans()
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    assert first.attributes["orion.state.name"] == "Failed"


def test_a_state_from_the_cache_is_a_span_without_work(spans: InMemorySpanExporter, tmp_path: Path):
    @task(cache_key_fn=lambda context, given: "one", cache_expiration=timedelta(hours=1), persist_result=True)
    def load() -> int:
        return 1

    @flow
    def etl() -> None:
        load()
        load()

    etl()

    first, second = (one for one in spans.get_finished_spans() if one.name == "load")
    assert "orion.cached" not in first.attributes
    assert second.attributes["orion.cached"] is True
    assert second.attributes["orion.state.name"] == "Cached"


def test_spans_of_the_users_code_are_below_their_task(spans: InMemorySpanExporter):
    users = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(users))
    tracer = provider.get_tracer("users")

    @task
    def load() -> None:
        with tracer.start_as_current_span("query"):
            pass

    @flow(task_runner=ConcurrentTaskRunner())
    def etl() -> None:
        load()
        load.submit().result()

    etl()

    own = [one for one in spans.get_finished_spans() if one.name == "load"]
    assert [one.parent.span_id for one in users.get_finished_spans()] == [one.context.span_id for one in own]
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_span_around_the_flow_is_its_parent(spans: InMemorySpanExporter):
    tracer = TracerProvider().get_tracer("web")

    @flow
    def etl() -> int:
        return double(1)

    with tracer.start_as_current_span("request") as around:
        etl()

    own = by_name(spans)["etl"]
    assert own.parent.span_id == around.get_span_context().span_id
    assert {one.context.trace_id for one in spans.get_finished_spans()} == {around.get_span_context().trace_id}


async def test_coroutines_have_spans_of_their_own(spans: InMemorySpanExporter):
    @task
    async def fetch(number: int) -> int:
        return number

    @flow
    async def etl() -> int:
        return await fetch(1) + await fetch(2)

    await etl()

    found = by_name(spans)
    assert found["fetch"].parent.span_id == found["etl"].context.span_id


def test_unsampled_runs_are_not_recorded(spans: InMemorySpanExporter):
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

    around = SpanContext(1, 1, is_remote=True, trace_flags=TraceFlags(TraceFlags.DEFAULT))

    @flow
    def etl() -> int:
        return double(1)

    with use_span(NonRecordingSpan(around)):
        etl()

    assert spans.get_finished_spans() == ()


def whose_span() -> int:
    return trace.get_current_span().get_span_context().span_id


@pytest.mark.long
def test_a_task_in_another_process_knows_its_span(spans: InMemorySpanExporter):
    @flow(task_runner=ProcessTaskRunner(max_workers=1))
    def etl() -> int:
        return task(whose_span).submit().result()

    seen = etl()

    assert seen == by_name(spans)["whose_span"].context.span_id


def test_a_run_of_a_deployment_names_the_span_of_its_caller(spans: InMemorySpanExporter):
    """The agent's process continues the trace by the record of the run."""
    from orionflow.calls.flow_runs import read_flow_run
    from orionflow.client import OrionClient
    from orionflow.deployments.running import run_deployment

    called.deploy("there", work_queue_name="q")

    @flow
    def caller() -> Any:
        return run_deployment("called/there", timeout=0).id

    run_id = caller()

    with OrionClient() as client:
        run = client.send(read_flow_run(run_id))
    own = by_name(spans)["caller"]
    assert named_trace(run.context) == (f"{own.context.trace_id:032x}", f"{own.context.span_id:016x}", True)


def test_lines_of_the_log_carry_the_ids(spans: InMemorySpanExporter):
    lines: list[Any] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record)

    @task
    def load() -> None:
        get_run_logger().info("loading")

    @flow
    def etl() -> None:
        get_run_logger().info("beginning")
        load()

    handler = Keeping()
    logging.getLogger("orionflow").addHandler(handler)
    try:
        etl()
    finally:
        logging.getLogger("orionflow").removeHandler(handler)

    given = {one.getMessage(): one for one in lines}
    found = by_name(spans)
    assert given["loading"].span_id == f"{found['load'].context.span_id:016x}"
    assert given["beginning"].span_id == f"{found['etl'].context.span_id:016x}"
    assert given["loading"].trace_id == given["beginning"].trace_id == f"{found['etl'].context.trace_id:032x}"


# --- off, and sent ---


def run(program: Path, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    given = environment(home, PYTHONPATH=os.pathsep.join(sys.path), **settings)
    return subprocess.run([sys.executable, str(program)], env=given, capture_output=True, text=True, timeout=90)


def test_nothing_is_loaded_while_it_is_off():
    given = "import sys, orionflow; from orionflow import flow, task; import orionflow.engine.flow_run; " + (
        "print([one for one in sys.modules if 'opentelemetry' in one or one == 'orionflow.tracing.spans'])"
    )

    done = subprocess.run([sys.executable, "-c", given], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
    assert tracing.current is None


class Collector(HTTPServer):
    """A receiver of OTLP over HTTP, which keeps what comes."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        super().__init__(("127.0.0.1", 0), Receiving)


class Receiving(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        import gzip

        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            name = next(one.value.string_value for one in resource.resource.attributes if one.key == "service.name")
            for scope in resource.scope_spans:
                self.server.spans += [(name, span) for span in scope.spans]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.long
def test_spans_are_sent_to_a_collector(collector: Collector, tmp_path: Path):
    program = Path(__file__).with_name("flows.py")

    done = run(program, tmp_path, ORION_TRACES_URL=f"http://127.0.0.1:{collector.server_port}/v1/traces")

    assert done.returncode == 0, done.stderr
    assert [span.name for _, span in collector.spans] == ["double", "doubling"]
    (service, inner), (_, outer) = collector.spans
    assert service == "orionflow"
    assert inner.parent_span_id == outer.span_id
    assert inner.trace_id == outer.trace_id


@pytest.mark.long
def test_a_collector_that_is_away_ends_no_run(tmp_path: Path):
    program = Path(__file__).with_name("flows.py")

    done = run(program, tmp_path, ORION_TRACES_URL="http://127.0.0.1:9/v1/traces")

    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_a_run_that_an_agent_executes_is_in_the_trace_of_its_caller(collector: Collector, tmp_path: Path):
    traces = {"ORION_TRACES_URL": f"http://127.0.0.1:{collector.server_port}/v1/traces"}
    program = Path(__file__).with_name("flows.py")
    with running_server(tmp_path / "server", agent=True, **traces) as server:
        given = {**traces, "ORION_API_URL": f"http://127.0.0.1:{server.port}/api"}
        deploy = f"from tests.tracing.flows import called; called.deploy('there', entrypoint='{program}:called')"
        deployed = tmp_path / "deploy.py"
        deployed.write_text(deploy)
        assert run(deployed, tmp_path / "server", **given).returncode == 0
        calling = tmp_path / "calling.py"
        calling.write_text("from tests.tracing.flows import calling; calling()")

        done = run(calling, tmp_path / "server", **given)

    assert done.returncode == 0, done.stderr
    found = {span.name: span for _, span in collector.spans}
    assert found["called"].trace_id == found["calling"].trace_id
    assert found["called"].parent_span_id == found["calling"].span_id
