"""Programs against an API behind HTTP, also when it goes away in the middle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from orionflow import flow, get_run_logger, task
from orionflow.client.ephemeral import in_process_server
from orionflow.reporting import close_reporters, replay_leftovers
from orionflow.settings import override_settings
from orionflow.testing import assert_completed, flow_run_of, isolated, logs_of, states_of, task_runs_of


class _Silent(WSGIRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, format: str, *args: object) -> None: ...


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = False


class ApiServer:
    """The API on a port, which can be taken away and brought back."""

    def __init__(self) -> None:
        self.port = 0
        self.server: WSGIServer | None = None

    def start(self) -> None:
        application: Any = in_process_server().application()
        self.server = make_server("127.0.0.1", self.port, application, _Threaded, _Silent)
        self.port = self.server.server_port
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self._thread.join()
            self.server.server_close()
            self.server = None

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Accept connections in this block, and answer nobody."""
        assert self.server is not None
        answers, released = self.server.get_app(), threading.Event()

        def wait(environ: Any, start_response: Any) -> list[bytes]:
            released.wait(60)
            start_response("503 Service Unavailable", [])
            return []

        self.server.set_app(wait)
        try:
            yield
        finally:
            released.set()
            self.server.set_app(answers)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"


@pytest.fixture
def orion(server_here: None) -> None:
    """Here the API is behind HTTP."""


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    with isolated():
        server.start()
        try:
            with override_settings(api_url=server.url):
                yield server
                close_reporters()
        finally:
            server.stop()


@task(retries=1)
def one(x: int = 1) -> int:
    get_run_logger().info("one")
    return x


@task
def nap() -> None:
    time.sleep(0.01)


@flow
def outer(between: Callable[[], None] = lambda: None) -> int:
    total = one()
    between()
    return total + sum(future.result() for future in one.map([2, 3]))


def test_flow_runs_against_a_server(orion: None, api: ApiServer):
    state = outer(return_state=True)

    assert state.result() == 6
    assert_completed(state)
    assert [states_of(run) for run in task_runs_of(state)] == [["Pending", "Running", "Completed"]] * 3
    assert sum(line.message == "one" for line in logs_of(state)) == 3


def test_server_that_restarts_in_the_middle_misses_nothing(orion: None, api: ApiServer):
    def restart() -> None:
        api.stop()
        threading.Timer(0.5, api.start).start()

    state = outer(restart, return_state=True)

    assert_completed(state)
    assert [states_of(run) for run in task_runs_of(state)] == [["Pending", "Running", "Completed"]] * 3


def test_server_that_stays_away_gets_the_records_later(orion: None, api: ApiServer, tmp_path: Path):
    with override_settings(reporting_budget_seconds=0.5, api_retry_budget_seconds=0.2, reporting_exit_seconds=0.2):
        close_reporters()
        state = outer(api.stop, return_state=True)

        assert state.result() == 6
        close_reporters()
    api.start()
    replay_leftovers()

    assert flow_run_of(state).state_type == "COMPLETED"
    assert [run.state_type for run in task_runs_of(state)] == ["COMPLETED"] * 3
