"""Machines that freeze, lose the network or are asked to stop at any moment: no two attempts overlap unnoticed."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.agents.conftest import StartAgent
from tests.agents.running import QUICK, Api, eventually, is_alive, is_stopped, run_process, running_agent
from tests.rounds import THOROUGH
from tests.site.running import running_server


def test_an_agent_that_wakes_after_its_leases_ran_out_kills_what_it_lost(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent()
    run = api.run_of("flows.py:sleeping", queue)
    api.until(run, "Running")
    process, frozen = run_process(agent), [agent.process.pid, *agent.children()]

    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    crashed = api.until_ended(run)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)

    assert crashed["name"] == "Crashed"
    eventually(lambda: not is_alive(process), lambda: agent.output)
    assert api.history(run)[-1] == "Crashed"
    assert api.until_ended(api.run_of("flows.py:doubling", queue))["name"] == "Completed", agent.output


def test_a_frozen_process_is_cancelled_anyway(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent("--stop-timeout", "1")
    run = api.run_of("flows.py:sleeping", queue)
    api.until(run, "Running")
    process = run_process(agent)

    os.kill(process, signal.SIGSTOP)
    api.post(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})

    assert api.until_ended(run)["name"] == "Cancelled"
    eventually(lambda: not is_alive(process))


@pytest.mark.parametrize(
    ("flow", "stands_still"), [("patient", True), pytest.param("sleeping", False, marks=pytest.mark.long)]
)
def test_out_of_touch_only_runs_that_may_start_elsewhere_stand_still_until_the_api_answers(
    tmp_path: Path, home: Path, queue: str, flow: str, stands_still: bool
):
    with running_server(tmp_path / "server", **QUICK) as server:
        api = Api(server)
        with running_agent(home, api, queue) as agent:
            run = api.run_of(f"flows.py:{flow}", queue)
            api.until(run, "Running")
            process = run_process(agent)

            server.process.send_signal(signal.SIGSTOP)
            eventually(lambda: "Heartbeats do not reach the server" in agent.output)
            # Longer than a lease lasts here.
            until = time.monotonic() + 6
            while not is_stopped(process) and time.monotonic() < until:
                time.sleep(0.1)
            stood_still = is_stopped(process)
            server.process.send_signal(signal.SIGCONT)

            eventually(lambda: "Heartbeats get through again" in agent.output, lambda: agent.output)
            eventually(lambda: not is_stopped(process), lambda: agent.output)
            assert stood_still is stands_still, agent.output
            assert is_alive(process)
            assert api.history(run) == ["Scheduled", "Pending", "Running"]


@pytest.mark.long
def test_an_agent_does_not_wait_for_claims_that_come_after_the_end_of_their_leases(
    tmp_path: Path, home: Path, queue: str
):
    with running_server(tmp_path / "server", **QUICK) as server:
        api = Api(server)
        with running_agent(home, api, queue) as agent:
            server.process.send_signal(signal.SIGSTOP)
            eventually(lambda: "Nothing can be claimed now." in agent.output, lambda: agent.output)
            server.process.send_signal(signal.SIGCONT)
            run = api.run_of("flows.py:doubling", queue)

            assert "no answer within 3.6 s" in agent.output
            assert api.until_ended(run)["name"] == "Completed", agent.output


@pytest.mark.long
def test_a_run_that_is_frozen_is_cancelled_when_the_api_answers(tmp_path: Path, home: Path, queue: str):
    with running_server(tmp_path / "server", **QUICK) as server:
        api = Api(server)
        with running_agent(home, api, queue) as agent:
            run = api.run_of("flows.py:patient", queue)
            api.until(run, "Running")
            process = run_process(agent)
            agent.signal(signal.SIGSTOP)
            api.post(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
            server.process.send_signal(signal.SIGSTOP)
            agent.signal(signal.SIGCONT)
            eventually(lambda: is_stopped(process), lambda: agent.output)

            server.process.send_signal(signal.SIGCONT)

            assert api.until_ended(run)["name"] == "Cancelled", agent.output
            eventually(lambda: not is_alive(process), lambda: agent.output)


def test_signals_at_any_moment_leave_nothing_behind(api: Api, queue: str, home: Path):
    deployment = api.deploy("flows.py:sleeping", queue)
    for _ in range(3 if THOROUGH else 1):
        with running_agent(home, api, queue, "--drain-timeout", "0.2") as agent:
            run = api.run(deployment)
            time.sleep(random.uniform(0, 1.2))
            below = agent.children()
            agent.signal(signal.SIGTERM)
            time.sleep(random.uniform(0, 0.3))
            agent.signal(signal.SIGINT)

            assert agent.ended() == 0, agent.output
            eventually(lambda pids=frozenset(below): not any(is_alive(pid) for pid in pids))
        # Either it was never taken, or its end is known.
        assert api.state(run)["name"] in ("Scheduled", "Late", "Crashed"), agent.output
