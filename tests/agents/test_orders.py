"""Orders reach an agent as soon as they are given, however rare its heartbeats are."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.agents.conftest import StartAgent
from tests.agents.running import Api, eventually, is_alive, processes_of, run_process, running_agent
from tests.faults.cluster import own_database
from tests.site.running import PATIENCE_SECONDS, running_server

# No heartbeat is sent during a test, so what reaches the agent did not come with one.
RARE = {
    "ORION_HEARTBEAT_SECONDS": "600",
    "ORION_LEASE_SECONDS": "3600",
    "ORION_AGENT_POLL_SECONDS": "0.5",
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    assert PATIENCE_SECONDS < 600
    home = tmp_path_factory.mktemp("server")
    with own_database(home, **RARE) as (settings, _), running_server(home, **settings) as server:
        yield Api(server)


@pytest.fixture(params=["without a broker", "with a broker"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    return ("--broker", f"filesystem://{tmp_path}/broker") if request.param == "with a broker" else ()


def cancel(api: Api, run: str) -> None:
    api.post(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})


def test_a_run_is_cancelled_without_waiting_for_a_heartbeat(
    api: Api, queue: str, start_agent: StartAgent, options: tuple[str, ...]
):
    agent = start_agent(*options)
    run = api.run_of("flows.py:with_a_child_process", queue)
    eventually(lambda: processes_of(run), lambda: agent.output)

    cancel(api, run)

    assert api.until_ended(run)["name"] == "Cancelled"
    eventually(lambda: not processes_of(run), lambda: agent.output)


def test_each_of_many_runs_is_cancelled_and_the_others_continue(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent("--concurrency", "4")
    runs = [api.run_of("flows.py:sleeping", queue) for _ in range(4)]
    for run in runs:
        api.until(run, "Running")

    for run in runs[:3]:
        cancel(api, run)
        assert api.until_ended(run)["name"] == "Cancelled", agent.output

    assert api.state(runs[3])["name"] == "Running"


def test_a_run_that_loads_its_module_is_cancelled(api: Api, queue: str, start_agent: StartAgent, tmp_path: Path):
    mark = tmp_path / "mark"
    agent = start_agent(MARK_OF_TEST=str(mark), LOAD_SECONDS_OF_TEST="600")
    run = api.run_of("slow_to_load.py:plain", queue, witness=str(tmp_path / "witness"))
    eventually(mark.exists, lambda: agent.output)

    cancel(api, run)

    assert api.until_ended(run)["name"] == "Cancelled"
    eventually(lambda: not processes_of(run), lambda: agent.output)


def test_a_run_that_is_cancelled_the_moment_it_is_claimed_never_begins(api: Api, queue: str, start_agent: StartAgent):
    start_agent()
    deployment = api.deploy("flows.py:sleeping", queue)

    for _ in range(5):
        run = api.run(deployment)
        api.until(run, "Pending", "Running")
        cancel(api, run)
        assert api.until_ended(run)["name"] == "Cancelled"


def test_a_run_that_is_paused_in_its_process_is_cancelled(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent()
    run = api.run_of("flows.py:sleeping", queue)
    api.until(run, "Running")
    process = run_process(agent)

    api.post(f"/flow_runs/{run}/set_state", {"state": {"type": "PAUSED"}})
    cancel(api, run)

    assert api.until_ended(run)["name"] == "Cancelled"
    eventually(lambda: not is_alive(process), lambda: agent.output)


@pytest.mark.long
def test_a_run_that_is_frozen_is_cancelled(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent("--stop-timeout", "1")
    run = api.run_of("flows.py:sleeping", queue)
    api.until(run, "Running")
    process = run_process(agent)

    os.kill(process, signal.SIGSTOP)
    cancel(api, run)

    assert api.until_ended(run)["name"] == "Cancelled"
    eventually(lambda: not is_alive(process), lambda: agent.output)


def test_an_attempt_whose_slot_was_released_by_force_is_killed(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent()
    run = api.run_of("flows.py:sleeping", queue)
    api.until(run, "Running")
    process = run_process(agent)

    api.post(f"/flow_runs/{run}/release", {"message": "Given up."})

    assert api.until_ended(run)["name"] == "Crashed"
    eventually(lambda: not is_alive(process), lambda: agent.output)


@contextmanager
def two_servers(home: Path) -> Iterator[tuple[Api, Api]]:
    """Run two servers with one database."""
    with own_database(home, **RARE) as (settings, _), ExitStack() as servers:
        first, second = (Api(servers.enter_context(running_server(home, **settings))) for _ in range(2))
        yield first, second


def test_a_run_that_another_server_was_asked_to_cancel_is_cancelled(tmp_path: Path, home: Path, queue: str):
    with two_servers(tmp_path / "server") as (first, second), running_agent(home, first, queue) as agent:
        run = first.run_of("flows.py:sleeping", queue)
        first.until(run, "Running")

        cancel(second, run)

        assert first.until_ended(run)["name"] == "Cancelled", agent.output


def test_an_attempt_that_another_server_was_asked_to_release_is_killed(tmp_path: Path, home: Path, queue: str):
    with two_servers(tmp_path / "server") as (first, second), running_agent(home, first, queue) as agent:
        run = first.run_of("flows.py:sleeping", queue)
        first.until(run, "Running")
        process = run_process(agent)

        second.post(f"/flow_runs/{run}/release", {"message": "Given up."})

        eventually(lambda: not is_alive(process), lambda: agent.output)
