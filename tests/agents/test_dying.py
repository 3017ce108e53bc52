"""Processes die in every way, and nothing is left: neither a run that nobody ends nor a process that nobody owns."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.agents.conftest import StartAgent
from tests.agents.running import Api, eventually, is_alive, launcher_of, processes_of, run_process


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        ("killed", "SIGKILL"),
        pytest.param("faulting", "SIGSEGV", marks=pytest.mark.long),
        ("leaving", "code 3"),
        pytest.param("exiting", "code 4", marks=pytest.mark.long),
    ],
)
def test_the_end_of_a_process_is_reported_with_its_signal_or_code(api: Api, served: str, flow: str, words: str):
    ended = api.until_ended(api.run_of(f"flows.py:{flow}", served))

    assert ended["name"] == "Crashed"
    assert words in ended["message"]


def test_a_crashed_run_is_retried_as_often_as_its_flow_allows(api: Api, served: str, tmp_path: Path):
    run = api.run_of("flows.py:tried_again", served, mark=str(tmp_path / "mark"))

    assert api.until_ended(run)["name"] == "Completed"
    assert api.history(run).count("Pending") == 2


def test_the_next_process_takes_up_what_was_done_with_the_same_inputs(api: Api, served: str, tmp_path: Path):
    log = tmp_path / "log"

    run = api.run_of("flows.py:working_on_what_is_left", served, log=str(log))

    assert api.until_ended(run)["name"] == "Completed"
    assert log.with_suffix(".result").read_text() == "CDE"
    assert log.read_text().split() == ["a", "b", "c", "d", "e"]


def test_a_run_that_is_killed_from_outside_takes_its_children_along(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent()
    run = api.run_of("flows.py:with_a_child_process", queue)
    eventually(lambda: processes_of(run), lambda: agent.output)

    os.kill(run_process(agent), signal.SIGKILL)

    assert "SIGKILL" in api.until_ended(run)["message"]
    eventually(lambda: not processes_of(run))


def test_nothing_survives_an_agent_that_is_killed(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent()
    run = api.run_of("flows.py:with_a_child_process", queue)
    eventually(lambda: processes_of(run), lambda: agent.output)
    below = agent.children()

    agent.signal(signal.SIGKILL)

    eventually(lambda: not any(is_alive(pid) for pid in below), lambda: below)
    eventually(lambda: not processes_of(run))
    assert api.until_ended(run)["name"] == "Crashed"


@pytest.mark.long
def test_nothing_survives_when_the_launcher_dies_with_its_agent_hogging(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent()
    run = api.run_of("flows.py:hogging", queue)
    api.until(run, "Running")
    below = agent.children()

    agent.signal(signal.SIGKILL)

    eventually(lambda: not any(is_alive(pid) for pid in below), lambda: below)


@pytest.mark.long
def test_nothing_survives_when_agent_and_launcher_are_killed_in_one_instant(
    api: Api, queue: str, start_agent: StartAgent
):
    agent = start_agent(cold_launcher=True)
    run = api.run_of("flows.py:with_a_child_process", queue)
    eventually(lambda: processes_of(run), lambda: agent.output)
    below = agent.children()

    # It must not see that its launcher dies before it does.
    agent.signal(signal.SIGSTOP)
    os.kill(launcher_of(agent), signal.SIGKILL)
    agent.signal(signal.SIGKILL)

    eventually(lambda: not processes_of(run), lambda: processes_of(run))
    eventually(lambda: not any(is_alive(pid) for pid in below), lambda: below)


def test_an_agent_that_starts_again_takes_its_runs_back_at_once(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent()
    run = api.run_of("flows.py:sleeping", queue)
    api.until(run, "Running")

    agent.signal(signal.SIGKILL)
    agent.ended()
    start_agent()

    assert api.until_ended(run)["name"] == "Crashed"


def test_a_launcher_that_dies_is_replaced(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent(cold_launcher=True)
    run = api.run_of("flows.py:sleeping", queue)
    api.until(run, "Running")

    os.kill(launcher_of(agent), signal.SIGKILL)

    assert "launcher" in api.until_ended(run)["message"]
    assert api.until_ended(api.run_of("flows.py:doubling", queue))["name"] == "Completed"


def test_a_run_that_blocks_its_threads_is_not_treated_as_dead(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent()
    run = api.run_of("flows.py:hogging", queue)
    api.until(run, "Running")

    other = api.run_of("flows.py:sleeping", queue, seconds=5)

    # Longer than a lease lasts here.
    assert api.until_ended(other)["name"] == "Completed"
    assert api.state(run)["name"] == "Running", agent.output


def test_memory_is_limited_for_one_run_and_others_continue(api: Api, queue: str, start_agent: StartAgent):
    start_agent("--memory-limit", "1G")

    hungry, modest = api.run_of("flows.py:hungry", queue), api.run_of("flows.py:doubling", queue)

    assert "MemoryError" in api.until_ended(hungry)["message"]
    assert api.until_ended(modest)["name"] == "Completed"


@pytest.mark.long
def test_a_run_that_multiplies_is_ended_with_all_that_it_started(api: Api, queue: str, start_agent: StartAgent):
    start_agent("--run-timeout", "3", "--stop-timeout", "0")
    run = api.run_of("flows.py:multiplying", queue, count=40)
    eventually(lambda: len(processes_of(run)) > 80, lambda: processes_of(run))

    other = api.until_ended(api.run_of("flows.py:doubling", queue))

    assert other["name"] == "Completed"
    assert "its limit of 3 s" in api.until_ended(run)["message"]
    eventually(lambda: not processes_of(run), lambda: processes_of(run))


def test_a_run_that_leaks_files_fails_by_itself_and_others_continue(api: Api, served: str):
    leaking, modest = api.run_of("flows.py:leaking_files", served), api.run_of("flows.py:doubling", served)

    ended = api.until_ended(leaking)
    assert ended["name"] == "Failed"
    assert "Too many open files" in ended["message"]
    assert api.until_ended(modest)["name"] == "Completed"


def test_the_limit_on_processes_holds_for_each_run(api: Api, queue: str, start_agent: StartAgent):
    start_agent("--process-limit", "500")

    ended = api.until_ended(api.run_of("flows.py:logging_its_limits", queue))

    assert "at most 500 processes" in ended["message"]


def test_a_run_that_takes_too_long_is_ended_with_its_group(api: Api, queue: str, start_agent: StartAgent):
    start_agent("--run-timeout", "1", "--stop-timeout", "1")

    run = api.run_of("flows.py:deaf", queue)

    ended = api.until_ended(run)
    assert ended["name"] == "Crashed"
    assert "SIGKILL: it took longer than its limit of 1 s (--run-timeout" in ended["message"]


def test_a_run_that_is_stopped_at_its_limit_names_the_limit(api: Api, queue: str, start_agent: StartAgent):
    start_agent("--run-timeout", "60")
    flows = ("flows.py:sleeping", "flows.py:sleeping_async")
    deployments = [api.deploy(flow, queue, job_variables={"timeout_seconds": 1.5}) for flow in flows]

    for run in [api.run(deployment) for deployment in deployments]:
        ended = api.until_ended(run)

        assert ended["name"] == "Crashed"
        assert "(SIGTERM): it took longer than its limit of 1.5 s (timeout_seconds" in ended["message"]


def test_job_variables_that_mean_nothing_cost_one_run_and_not_the_agent(api: Api, queue: str, start_agent: StartAgent):
    start_agent("--concurrency", "1")

    for nonsense in ({"env": ["COLOUR=red"]}, {"timeout_seconds": "soon"}):
        ended = api.until_ended(api.run(api.deploy("flows.py:doubling", queue, job_variables=nonsense)))

        assert ended["name"] == "Crashed"
        assert "cannot be started" in ended["message"]
    assert api.until_ended(api.run_of("flows.py:doubling", queue))["name"] == "Completed"


def test_working_directory_that_does_not_exist_is_named(api: Api, served: str):
    deployment = api.deploy("flows.py:doubling", served, job_variables={"working_dir": "/not/there"})

    ended = api.until_ended(api.run(deployment))

    assert ended["name"] == "Failed"
    assert "The working directory '/not/there'" in ended["message"]
