"""Flows are served by the program that has them, until Ctrl-C; a real server plans, real processes run."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
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


@dataclass
class Served:
    """A program that serves, a client of its server, and the name of its deployments there."""

    program: subprocess.Popen[str]
    client: OrionClient
    name: str

    def read(self, flow: str) -> Any:
        return self.client.read_deployment_by_name(f"{flow}/{self.name}")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("server"), agent=True) as server:
        yield f"http://127.0.0.1:{server.port}/api"


@pytest.fixture
def served(tmp_path: Path, url: str) -> Iterator[Served]:
    name = f"served-{uuid4().hex[:8]}"
    with serving_program(tmp_path, url, name) as program, override_settings(api_url=url), OrionClient() as client:
        yield Served(program, client, name)


@contextmanager
def serving_program(folder: Path, url: str, name: str) -> Iterator[subprocess.Popen[str]]:
    program = warm.Popen(
        [sys.executable, str(PROGRAM), name],
        env=environment(folder / "home", ORION_API_URL=url),
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    try:
        output = read_until(program.stderr, f"serves serve-greet-{name}")
        assert f"Serving greet/{name}" in output
        yield program
    finally:
        program.kill()
        program.communicate()


def test_served_flows_run_and_are_paused_at_the_end(served: Served):
    program, client = served.program, served.client
    first, second = served.read("greet"), served.read("report")

    runs = [
        run_deployment(f"greet/{served.name}", parameters={"name": "Ada"}, timeout=30, poll_interval=0.1),
        run_deployment(f"report/{served.name}", timeout=30, poll_interval=0.1),
    ]
    program.send_signal(signal.SIGINT)
    _, output = program.communicate(timeout=60)

    assert [run.state_name for run in runs] == ["Completed", "Completed"]
    # The server has an agent too, which takes whatever waits in the default pool.
    assert ["of flow 'greet' ended" in output, "of flow 'report' ended" in output] == [True, True], output
    assert first.work_pool_name == second.work_pool_name == SERVED_POOL
    assert [one.work_queue_name for one in (first, second)] == [
        f"serve-{flow}-{served.name}" for flow in ("greet", "report")
    ]
    assert not first.paused
    assert program.returncode == 0, output
    assert client.read_deployment(first.id).paused
    assert client.read_deployment(second.id).paused
    planned = client.read_flow_runs(
        flow_runs={"state": {"type": {"any_": ["SCHEDULED"]}}}, deployments={"name": {"any_": [served.name]}}
    )
    assert planned == []


def test_deployments_that_another_program_serves_too_stay_active(served: Served, tmp_path: Path):
    first, client = served.program, served.client
    deployment = served.read("greet").id
    with serving_program(tmp_path, client.api_url, served.name) as second:
        first.send_signal(signal.SIGTERM)
        _, output = first.communicate(timeout=60)
        after_the_first = client.read_deployment(deployment).paused
        run = run_deployment(f"greet/{served.name}", parameters={"name": "Ada"}, timeout=30, poll_interval=0.1)
        second.send_signal(signal.SIGTERM)
        second.communicate(timeout=60)

    assert "another program serves them" in output
    assert not after_the_first
    assert run.state_name == "Completed"
    assert client.read_deployment(deployment).paused


def test_a_deployment_is_not_paused_while_any_agent_serves_its_queue(served: Served):
    program, client = served.program, served.client
    deployment = served.read("greet").id
    agent = {"name": "slow", "incarnation": str(uuid4()), "work_pool_name": SERVED_POOL}
    asked = Call("POST", f"/deployments/{deployment}/pause_unless_served", read=bool)

    while_it_serves = client.send(asked)
    program.kill()
    program.wait()
    client.send(Call("POST", "/agents/", {**agent, "work_queues": [f"serve-greet-{served.name}"]}, read=dict))
    while_an_agent_does = client.send(asked)

    assert (while_it_serves, while_an_agent_does) == (False, False)
    assert not client.read_deployment(deployment).paused


@pytest.mark.long
def test_the_end_of_a_serving_program_has_a_limit_that_is_printed(served: Served):
    program, client = served.program, served.client
    run = run_deployment(f"nap/{served.name}", timeout=0)
    read_until(program.stderr, "of flow 'nap' begins")

    program.send_signal(signal.SIGTERM)
    output = read_until(program.stderr, "The agent ends")
    _, rest = program.communicate(timeout=60)

    assert "up to 1 s" in output
    assert program.returncode == 0, rest
    assert client.read_flow_run(run.id).state_name == "Crashed"
