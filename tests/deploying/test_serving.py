"""Flows are served by the program that has them, until Ctrl-C; a real server plans, real processes run."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from orionflow import run_deployment
from orionflow.calls import Call
from orionflow.client import OrionClient
from orionflow.deployments.serving import SERVED_POOL
from orionflow.settings import override_settings
from tests import warm
from tests.printed import read_until
from tests.site.running import environment, running_server

PROGRAM = Path(__file__).with_name("serving.py")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], OrionClient]]:
    """The program, serving, and a client of the server."""
    with running_server(tmp_path / "server", agent=True) as server:
        url = f"http://127.0.0.1:{server.port}/api"
        with serving_program(tmp_path, url) as program, override_settings(api_url=url), OrionClient() as client:
            yield program, client


@contextmanager
def serving_program(folder: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    program = warm.Popen(
        [sys.executable, str(PROGRAM)],
        env=environment(folder / "home", ORION_API_URL=url),
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    try:
        said = read_until(program.stderr, "serves serve-greet-served")
        assert "Serving greet/served" in said
        yield program
    finally:
        program.kill()
        program.communicate()


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


def test_deployments_that_another_program_serves_too_stay_active(served, tmp_path: Path):
    first, client = served
    deployment = client.read_deployment_by_name("greet/served").id
    with serving_program(tmp_path, client.api_url) as second:
        first.send_signal(signal.SIGTERM)
        _, said = first.communicate(timeout=60)
        after_the_first = client.read_deployment(deployment).paused
        run = run_deployment("greet/served", parameters={"name": "Ada"}, timeout=30, poll_interval=0.1)
        second.send_signal(signal.SIGTERM)
        second.communicate(timeout=60)

    assert "another program serves them" in said
    assert not after_the_first
    assert run.state_name == "Completed"
    assert client.read_deployment(deployment).paused


def test_a_deployment_is_not_paused_while_any_agent_serves_its_queue(served):
    program, client = served
    deployment = client.read_deployment_by_name("greet/served").id
    agent = {"name": "slow", "incarnation": str(uuid4()), "work_pool_name": SERVED_POOL}
    asked = Call("POST", f"/deployments/{deployment}/pause_unless_served", read=bool)

    while_it_serves = client.send(asked)
    program.kill()
    program.wait()
    client.send(Call("POST", "/agents/", {**agent, "work_queues": ["serve-greet-served"]}, read=dict))
    while_an_agent_does = client.send(asked)

    assert (while_it_serves, while_an_agent_does) == (False, False)
    assert not client.read_deployment(deployment).paused


def test_the_end_of_a_serving_program_has_a_limit_that_is_printed(served):
    program, client = served
    run = run_deployment("nap/served", timeout=0)
    read_until(program.stderr, "of flow 'nap' begins")

    program.send_signal(signal.SIGTERM)
    said = read_until(program.stderr, "The agent ends")
    _, rest = program.communicate(timeout=60)

    assert "up to 1 s" in said
    assert program.returncode == 0, rest
    assert client.read_flow_run(run.id).state_name == "Crashed"
