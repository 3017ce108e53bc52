"""An agent executes deployed flows: the run in a process of its own, its states and its ends in the API."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.agents.conftest import StartAgent
from tests.agents.running import Api, eventually, run_process


def test_a_deployed_flow_runs_to_its_end(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent()

    run = api.run_of("flows.py:doubling", queue, x="4")

    assert api.until_ended(run)["name"] == "Completed"
    assert api.history(run) == ["Scheduled", "Pending", "Running", "Completed"]
    eventually(lambda: "ended as Completed" in agent.output, lambda: agent.output)


def test_async_flows_and_subflows_run(api: Api, served: str):
    runs = [api.run_of(f"flows.py:{name}", served) for name in ("awaiting", "outer")]

    assert [api.until_ended(run)["name"] for run in runs] == ["Completed", "Completed"]


def test_a_flow_is_found_in_a_module(api: Api, served: str):
    root = str(Path(__file__).parents[2])

    run = api.run(api.deploy("tests.agents.flows:doubling", served, path=root))

    assert api.until_ended(run)["name"] == "Completed"


def test_no_more_runs_than_slots_execute_at_once(api: Api, queue: str, start_agent: StartAgent):
    start_agent("--concurrency", "1")
    deployment = api.deploy("flows.py:sleeping", queue)

    runs = [api.run(deployment, seconds=0.3) for _ in range(3)]

    spans = sorted(_span(api, run) for run in runs)
    assert all(before[1] <= after[0] for before, after in zip(spans, spans[1:], strict=False))


def _span(api: Api, run: str) -> tuple[str, str]:
    api.until_ended(run)
    states = {state["name"]: state["timestamp"] for state in api.get(f"/flow_run_states/?flow_run_id={run}")}
    return states["Pending"], states["Completed"]


def test_the_process_has_the_folder_and_the_variables_of_its_job(api: Api, served: str, tmp_path: Path):
    variables = {"env": {"COLOUR": "blue"}, "working_dir": str(tmp_path)}
    deployment = api.deploy("flows.py:environment", served, job_variables=variables)

    run = api.run(deployment, into=str(tmp_path / "report"))

    api.until_ended(run)
    assert (tmp_path / "report").read_text().splitlines()[:2] == [str(tmp_path), "blue"]


@pytest.mark.parametrize("launcher", ["fork", pytest.param("spawn", marks=pytest.mark.long)])
def test_the_process_sees_no_secret_of_the_server_or_the_broker(
    api: Api, queue: str, start_agent: StartAgent, tmp_path: Path, launcher: str
):
    server = (
        "SECRET_KEY",
        "ENCRYPTION_KEYS",
        "DATABASE_URL",
        "DATABASE_REPLICA_URL",
        "OIDC_CLIENT_SECRET",
        "NEXT_SECRET",
    )
    secrets = {f"ORION_{name}": f"hush-{name}" for name in server}
    # The user who starts the server may have set them under other names as well.
    secrets |= {f"COPY_OF_{name}": f"hush-{name}" for name in server}
    broker = f"filesystem://{tmp_path}/hush"
    shown = {"ORION_TASK_DEFAULT_RETRIES": "2", "COLOUR": "blue"}
    start_agent("--launcher", launcher, **secrets, **shown, ORION_BROKER_URL=broker, cold_launcher=True)
    deployment = api.deploy("flows.py:seeing", queue, job_variables={"env": {"ORION_MINE": "asked for"}})

    api.until_ended(api.run(deployment, into=str(tmp_path / "seen")))

    seen = (tmp_path / "seen").read_text()
    assert "hush" not in seen
    assert {"ORION_TASK_DEFAULT_RETRIES=2", "COLOUR=blue", "ORION_MINE=asked for"} <= set(seen.splitlines())


def test_another_interpreter_runs_what_wants_it(api: Api, served: str, tmp_path: Path):
    other = tmp_path / "other-python"
    other.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    deployment = api.deploy("flows.py:doubling", served, job_variables={"python": str(other)})

    assert api.until_ended(api.run(deployment))["name"] == "Completed"


def test_an_interpreter_that_is_missing_is_named(api: Api, served: str):
    deployment = api.deploy("flows.py:doubling", served, job_variables={"python": "/nowhere/python"})

    ended = api.until_ended(api.run(deployment))

    assert ended["name"] == "Crashed"
    assert "/nowhere/python cannot be started" in ended["message"]


def test_fresh_interpreters_do_what_forks_do(api: Api, queue: str, start_agent: StartAgent):
    start_agent("--launcher", "spawn")

    good, bad = api.run_of("flows.py:doubling", queue), api.run_of("flows.py:leaving", queue)

    assert api.until_ended(good)["name"] == "Completed"
    assert "code 3" in api.until_ended(bad)["message"]


def test_retries_of_the_flow_happen_in_the_same_process(api: Api, served: str, tmp_path: Path):
    run = api.run_of("flows.py:failing_once", served, mark=str(tmp_path / "mark"))

    assert api.until_ended(run)["name"] == "Completed"
    assert api.history(run).count("Pending") == 1


def test_a_forked_process_reports_no_end_of_the_run(api: Api, served: str):
    ended = api.until_ended(api.run_of("flows.py:ending_after_its_child", served))

    assert ended["name"] == "Crashed"
    assert "code 7" in ended["message"]
    assert "in the child" not in ended["message"]


def test_a_process_that_is_forked_at_import_reports_no_end_of_the_run(api: Api, served: str):
    run = api.run_of("forking_at_import.py:deployed", served)

    assert api.until_ended(run)["name"] == "Completed"
    assert "Failed" not in api.history(run)


def test_parameters_that_do_not_fit_fail_the_run(api: Api, served: str):
    ended = api.until_ended(api.run_of("flows.py:doubling", served, x="many"))

    assert ended["name"] == "Failed"
    assert "x: input should be a valid integer" in ended["message"]


def test_code_that_cannot_be_loaded_fails_the_run_with_the_cause(api: Api, served: str):
    run = api.run_of("unloadable.py:flow", served)

    ended = api.until_ended(run)
    assert ended["name"] == "Failed"
    assert "LookupError: this module cannot be imported" in ended["message"]
    assert "Traceback" in api.logs(run)
    assert api.history(run) == ["Scheduled", "Pending", "Failed"]


def test_each_reason_for_a_missing_flow_is_reported(api: Api, served: str):
    wrong = {
        "missing.py:flow": "There is no file",
        "no_such_package_anywhere:flow": "There is no module",
        "flows.py:nothing": "There is no flow 'nothing'",
        "../running.py:flow": "leads out of the folder",
        "leaving_at_import.py:flow": "ended the process with code 5",
    }

    runs = {entrypoint: api.run_of(entrypoint, served) for entrypoint in wrong}

    for entrypoint, words in wrong.items():
        ended = api.until_ended(runs[entrypoint])
        assert ended["name"] == "Failed", ended
        assert words in ended["message"]


def test_a_flow_that_runs_too_long_ends_by_its_own_limit(api: Api, served: str):
    assert api.until_ended(api.run_of("flows.py:limited", served))["name"] == "TimedOut"


def test_an_agent_that_runs_once_ends_when_nothing_is_due(api: Api, queue: str, start_agent: StartAgent):
    run = api.run_of("flows.py:doubling", queue)

    agent = start_agent("--run-once")

    assert agent.ended() == 0
    assert api.state(run)["name"] == "Completed"


def test_a_run_names_its_process(api: Api, queue: str, start_agent: StartAgent):
    agent = start_agent()

    api.run_of("flows.py:sleeping", queue)

    assert run_process(agent) in agent.children()
