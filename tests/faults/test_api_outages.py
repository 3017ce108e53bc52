"""The API is away for longer than a lease, at every moment of a run's life: no run is lost, none begins twice, and no
crash retry is used up by it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import tests.agents.running as agents
from tests.agents.running import Api, eventually, running_agent
from tests.faults.cluster import Part, own_database, verified
from tests.ports import lasting_port
from tests.site.running import RunningServer, running_server

HERE, AGENTS = Path(__file__).parent, Path(agents.__file__).parent
LEASE = 3.0
SETTINGS = {
    "ORION_LEASE_SECONDS": f"{LEASE:g}",
    "ORION_HEARTBEAT_SECONDS": "0.5",
    "ORION_LEASE_GRACE_SECONDS": "0.5",
    "ORION_RECONCILE_SECONDS": "0.5",
    "ORION_AGENT_POLL_SECONDS": "0.5",
}
WAITING = ("Scheduled", "Late", "Pending")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class Stack:
    """A server that can be stopped, and an agent that stays."""

    def __init__(self, home: Path, settings: dict[str, str], servers: ExitStack, *options: str) -> None:
        self.home, self._settings, self._servers, self._options = home, settings, servers, options
        self._server = servers.enter_context(running_server(home, "--port", str(lasting_port()), *options, **settings))
        self.api = Api(self._server)

    def away_for(self, seconds: float) -> None:
        self.end()
        time.sleep(seconds)
        self.start()

    def end(self) -> None:
        self._server.process.kill()
        self._server.process.wait()

    def start(self) -> None:
        port = str(self._server.port)
        again = running_server(self.home, "--port", port, *self._options, **self._settings)
        self._server = self._servers.enter_context(again)

    @property
    def server(self) -> RunningServer:
        return self._server


@contextmanager
def running_stack(folder: Path, *options: str) -> Iterator[Stack]:
    """With `--no-services` they run in a separate process, which continues while the server is stopped."""
    home = folder / "home"
    with own_database(home, **SETTINGS) as (settings, _), ExitStack() as servers:
        stack = Stack(home, settings, servers, *options)
        if options:
            services = Part(home, "services", ["services", "start"], settings)
            servers.callback(services.kill)
            services.start()
        yield stack
        assert verified(home, settings) == ""


def policy_of(api: Api, run: str) -> dict[str, Any]:
    return dict(api.get(f"/flow_runs/{run}")["empirical_policy"])


def in_one_go(api: Api, run: str) -> list[str]:
    return [name for name in api.history(run) if name not in WAITING]


@pytest.mark.parametrize(
    ("flow", "known"),
    [
        pytest.param("plain", None, marks=pytest.mark.long),
        pytest.param("sturdy", None, marks=pytest.mark.long),
        pytest.param("sturdy", 3, marks=pytest.mark.long),
    ],
)
def test_a_run_completes_if_its_module_is_loaded_during_an_outage(tmp_path: Path, flow: str, known: int | None):
    mark, witness = tmp_path / "mark", tmp_path / "witness"
    with (
        running_stack(tmp_path) as stack,
        running_agent(tmp_path, stack.api, "q", MARK_OF_TEST=str(mark), LOAD_SECONDS_OF_TEST="2"),
    ):
        deployment = stack.api.deploy(f"slow_to_load.py:{flow}", "q", crash_retries=known)
        run = stack.api.run(deployment, witness=str(witness))
        eventually(mark.exists, lambda: stack.api.history(run))

        stack.away_for(2 + 2 * LEASE)

        assert stack.api.until_ended(run)["name"] == "Completed", stack.api.history(run)
        assert in_one_go(stack.api, run) == ["Running", "Completed"]
        assert witness.read_text() == "began\n"


@pytest.mark.parametrize("flow", [pytest.param("plain", marks=pytest.mark.long), "sturdy"])
def test_a_run_that_gave_the_api_up_before_it_began_waits_for_an_agent_again(tmp_path: Path, flow: str):
    mark, witness = tmp_path / "mark", tmp_path / "witness"
    impatient = {"ORION_API_RETRY_BUDGET_SECONDS": "0.5", "LOAD_SECONDS_OF_TEST": "1"}
    with (
        running_stack(tmp_path) as stack,
        running_agent(tmp_path, stack.api, "q", MARK_OF_TEST=str(mark), **impatient) as agent,
    ):
        run = stack.api.run(stack.api.deploy(f"slow_to_load.py:{flow}", "q"), witness=str(witness))
        eventually(mark.exists, lambda: stack.api.history(run))

        stack.end()
        eventually(lambda: "is reported when the API answers" in agent.output, lambda: agent.output)
        stack.start()

        assert stack.api.until_ended(run)["name"] == "Completed", stack.api.history(run)
        assert witness.read_text() == "began\n"


@pytest.mark.parametrize("options", [(), pytest.param(("--no-services",), marks=pytest.mark.long)])
def test_runs_with_crash_retries_stand_still_and_continue_without_using_one_up(
    tmp_path: Path, options: tuple[str, ...]
):
    witness = tmp_path / "witness"
    with running_stack(tmp_path, *options) as stack, running_agent(tmp_path, stack.api, "q") as agent:
        deployment = stack.api.deploy("chaos_flows.py:sturdy", "q", path=str(HERE))
        runs = [stack.api.run(deployment, witness=str(witness), seconds=4) for _ in range(2)]
        for run in runs:
            stack.api.until(run, "Running")

        stack.away_for(2 * LEASE)

        for run in runs:
            assert stack.api.until_ended(run)["name"] == "Completed", agent.output
            assert in_one_go(stack.api, run) == ["Running", "Completed"]
            assert policy_of(stack.api, run).get("crash_count", 0) == 0
        assert sorted(witness.read_text().split()) == sorted(runs)
        assert "stands still" in agent.output


@pytest.mark.long
def test_runs_continue_while_no_server_receives_heartbeats_of_their_agent(tmp_path: Path):
    witness = tmp_path / "witness"
    with running_stack(tmp_path, "--no-services") as stack, running_agent(tmp_path, stack.api, "q") as agent:
        deployment = stack.api.deploy("chaos_flows.py:brief", "q", path=str(HERE))
        run = stack.api.run(deployment, witness=str(witness), seconds=4 * LEASE)
        stack.api.until(run, "Running")

        stack.away_for(2 * LEASE)

        assert stack.api.until_ended(run)["name"] == "Completed", agent.output
        assert witness.read_text().split() == [run]


IMPATIENT = {"ORION_API_RETRY_BUDGET_SECONDS": "0.5", "ORION_REPORTING_BUDGET_SECONDS": "0.5"}


@pytest.mark.long
@pytest.mark.parametrize("patience", [{}, IMPATIENT])
def test_a_flow_that_ended_meanwhile_is_not_run_twice(tmp_path: Path, patience: dict[str, str]):
    witness = tmp_path / "witness"
    with running_stack(tmp_path) as stack, running_agent(tmp_path, stack.api, "q", **patience) as agent:
        deployment = stack.api.deploy("chaos_flows.py:sturdy", "q", path=str(HERE))
        run = stack.api.run(deployment, witness=str(witness), seconds=0.6)
        stack.api.until(run, "Running")

        stack.away_for(2 * LEASE)

        assert stack.api.until_ended(run)["name"] == "Completed", agent.output
        assert in_one_go(stack.api, run) == ["Running", "Completed"]
        assert witness.read_text().split() == [run]


@pytest.mark.long
def test_a_run_that_ended_meanwhile_and_is_cancelled_before_that_is_known_is_cancelled(tmp_path: Path):
    witness = tmp_path / "witness"
    with running_stack(tmp_path) as stack, running_agent(tmp_path, stack.api, "q", **IMPATIENT) as agent:
        deployment = stack.api.deploy("chaos_flows.py:brief", "q", path=str(HERE))
        run = stack.api.run(deployment, witness=str(witness), seconds=1)
        stack.api.until(run, "Running")
        stack.end()
        eventually(lambda: "ended as Completed" in agent.output, lambda: agent.output)

        stack.start()
        # Before the agent delivers what its process has left, or after it.
        with suppress(AssertionError):
            stack.api.post(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})

        assert stack.api.until_ended(run)["name"] in ("Cancelled", "Completed"), agent.output


@pytest.mark.long
def test_an_attempt_that_a_draining_agent_ends_meanwhile_counts_as_no_crash(tmp_path: Path):
    witness = tmp_path / "witness"
    with running_stack(tmp_path) as stack, running_agent(tmp_path, stack.api, "q", "--drain-timeout", "0.1") as agent:
        deployment = stack.api.deploy("chaos_flows.py:sturdy", "q", path=str(HERE))
        run = stack.api.run(deployment, witness=str(witness), seconds=20)
        stack.api.until(run, "Running")
        stack.end()
        eventually(lambda: "stands still" in agent.output, lambda: agent.output)

        agent.signal(signal.SIGTERM)
        eventually(lambda: "is reported when the API answers" in agent.output, lambda: agent.output)
        stack.start()

        assert agent.ended() == 0
        assert stack.api.until(run, "AwaitingRetry", "Crashed")["name"] == "AwaitingRetry", agent.output
        policy = policy_of(stack.api, run)
        assert (policy.get("crash_count", 0), policy["handovers"]) == (0, 1)


@pytest.mark.parametrize(
    ("flow", "known"),
    [
        pytest.param("plain", None, marks=pytest.mark.long),
        pytest.param("sturdy", None, marks=pytest.mark.long),
        ("sturdy", 1),
    ],
)
def test_a_process_that_is_killed_while_its_module_is_loaded_is_started_again(
    tmp_path: Path, flow: str, known: int | None
):
    with (
        running_stack(tmp_path) as stack,
        running_agent(tmp_path, stack.api, "q", MARK_OF_TEST=str(tmp_path / "mark")),
    ):
        run = stack.api.run(stack.api.deploy(f"killed_at_import.py:{flow}", "q", crash_retries=known))

        assert stack.api.until_ended(run)["name"] == "Completed", stack.api.history(run)


@pytest.mark.long
def test_a_deployment_that_allows_no_crash_crashes_with_its_module(tmp_path: Path):
    with (
        running_stack(tmp_path) as stack,
        running_agent(tmp_path, stack.api, "q", MARK_OF_TEST=str(tmp_path / "mark")),
    ):
        run = stack.api.run(stack.api.deploy("killed_at_import.py:plain", "q", crash_retries=0))

        ended = stack.api.until_ended(run)

        assert (ended["name"], "SIGKILL" in ended["message"]) == ("Crashed", True)
