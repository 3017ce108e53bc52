"""Flows are served by the program that has them, until Ctrl-C; a real server plans, real processes run."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orionflow import run_deployment
from orionflow.client import OrionClient
from orionflow.deployments.serving import SERVED_POOL, queue_of
from orionflow.settings import override_settings
from tests.deploying import flows
from tests.site.running import environment, running_server

PROGRAM = Path(__file__).with_name("serving.py")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], OrionClient]]:
    """The program, serving, and a client of the server."""
    with running_server(tmp_path / "server", agent=True) as server:
        url = f"http://127.0.0.1:{server.port}/api"
        program = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            env=environment(tmp_path / "home", ORION_API_URL=url),
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        try:
            said = wait_for_line(program, "serves serve-greet-served")
            assert "Serving greet/served" in said
            with override_settings(api_url=url), OrionClient() as client:
                yield program, client
        finally:
            program.kill()
            program.communicate()


def wait_for_line(program: subprocess.Popen[str], words: str) -> str:
    assert program.stderr is not None
    said = ""
    while words not in said:
        line = program.stderr.readline()
        assert line, said
        said += line
    return said


def test_served_flows_run_and_are_paused_at_the_end(served):
    program, client = served
    first, second = (client.read_deployment_by_name(f"{name}/served") for name in ("greet", "report"))

    runs = [
        run_deployment("greet/served", parameters={"name": "Ada"}, timeout=30, poll_interval=0.1),
        run_deployment("report/served", timeout=30, poll_interval=0.1),
    ]
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=60)

    assert [run.state_name for run in runs] == ["Completed", "Completed"]
    # The server has an agent too, which takes whatever waits in the default pool.
    assert ["of flow 'greet' ended" in said, "of flow 'report' ended" in said] == [True, True], said
    assert first.work_pool_name == second.work_pool_name == SERVED_POOL
    assert [one.work_queue_name for one in (first, second)] == ["serve-greet-served", "serve-report-served"]
    assert not first.paused
    assert program.returncode == 0, said
    assert client.read_deployment(first.id).paused
    assert client.read_deployment(second.id).paused
    planned = client.read_flow_runs(flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}}})
    assert planned == []


def test_queue_of_a_served_deployment_is_named_after_it():
    deployment = flows.etl.to_deployment("näch tlich")

    assert queue_of(deployment) == "serve-etl-näch-tlich"
