"""Cancelling runs, draining agents, and names that survive."""

from __future__ import annotations

import signal

import pytest

from tests.agents.conftest import StartAgent
from tests.agents.running import Api, eventually, is_alive, processes_of, run_process


def cancel(api: Api, run: str) -> None:
    api.post(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})


def test_a_cancelled_run_ends_with_its_children(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent()
    run = api.run_of("flows.py:with_a_child_process", queue)
    eventually(lambda: processes_of(run), lambda: agent.output)

    cancel(api, run)

    assert api.until_ended(run)["name"] == "Cancelled"
    eventually(lambda: not processes_of(run))


def test_runs_below_a_cancelled_run_are_cancelled_and_not_crashed(api: Api, queue: str, start_agent: StartAgent):
    start_agent()
    run = api.run_of("flows.py:with_much_below", queue)
    nested = {"flow_runs": {"parent_flow_run_id": {"any_": [run]}, "state": {"type": {"any_": ["RUNNING"]}}}}
    eventually(lambda: api.post("/flow_runs/filter", nested))

    cancel(api, run)

    assert api.until_ended(run)["name"] == "Cancelled"
    tasks = api.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
    assert {task["name"]: task["state_name"] for task in tasks} == {
        "holding-0": "Cancelled",
        "sleeping-async-0": "Cancelled",
    }


def test_a_cancelled_run_that_is_deaf_is_killed(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent("--stop-timeout", "1")
    run = api.run_of("flows.py:deaf", queue)
    api.until(run, "Running")
    process = run_process(agent)

    cancel(api, run)

    assert api.until_ended(run)["name"] == "Cancelled"
    eventually(lambda: not is_alive(process))


def test_a_run_that_waits_for_an_agent_is_cancelled_at_once_and_never_starts(
    api: Api, queue: str, start_agent: StartAgent
):
    run = api.run_of("flows.py:doubling", queue)

    cancel(api, run)
    start_agent("--run-once").ended()

    assert api.history(run) == ["Scheduled", "Cancelled"]


def test_an_agent_that_is_asked_to_stop_lets_its_runs_finish(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent()
    run = api.run_of("flows.py:sleeping", queue, seconds=1.5)
    api.until(run, "Running")

    agent.signal(signal.SIGTERM)

    assert agent.ended() == 0
    assert api.state(run)["name"] == "Completed"


def test_an_agent_that_drains_takes_nothing_more(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent()
    busy = api.run_of("flows.py:sleeping", queue, seconds=1.5)
    api.until(busy, "Running")

    agent.signal(signal.SIGTERM)
    eventually(lambda: "The agent ends" in agent.output)
    late = api.run_of("flows.py:doubling", queue)

    assert agent.ended() == 0
    assert api.state(late)["name"] in ("Scheduled", "Late")


def test_runs_that_outlast_the_drain_are_asked_to_stop(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent("--drain-timeout", "0.5")
    run = api.run_of("flows.py:sleeping", queue)
    api.until(run, "Running")

    agent.signal(signal.SIGTERM)

    assert agent.ended() == 0
    state = api.state(run)
    assert (state["name"], "(SIGTERM): its agent ended" in state["message"]) == ("Crashed", True)


def test_a_second_signal_ends_the_agent_at_once(api: Api, queue: str, start_agent: StartAgent):
    # A first signal alone would let it wait for an hour.
    agent = start_agent("--stop-timeout", "3600")
    run = api.run_of("flows.py:deaf", queue)
    api.until(run, "Running")
    process = run_process(agent)

    agent.signal(signal.SIGINT)
    eventually(lambda: "The agent ends" in agent.output)
    agent.signal(signal.SIGINT)

    assert agent.ended() == 0
    assert not is_alive(process)
    assert api.state(run)["name"] == "Crashed"


def test_agents_of_one_home_have_names_of_their_own(api: Api, queue: str, start_agent: StartAgent):
    first, second = start_agent(), start_agent()

    names = [agent.output.split("Agent '")[1].split("'")[0] for agent in (first, second)]

    assert names[1] == f"{names[0]}-2"


def test_a_name_that_is_taken_is_refused(api: Api, queue: str, start_agent: StartAgent):
    start_agent("--name", "one")

    with pytest.raises(AssertionError, match="runs already"):
        start_agent("--name", "one")
