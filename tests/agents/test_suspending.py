"""The process of a suspended run ends; when the run is resumed, it continues in a new attempt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.agents.conftest import StartAgent
from tests.agents.running import Api, eventually


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def resume(api: Api, run: str, **body: Any) -> Any:
    return api.post(f"/flow_runs/{run}/resume", body)["status"]


def test_a_suspended_run_continues_with_its_answer_in_another_process(
    api: Api, queue: str, start_agent: StartAgent, log: Path
):
    agent = start_agent()
    run = api.run_of("suspending.py:approved", queue, log=str(log))

    api.until(run, "Suspended")
    eventually(lambda: "ended as Suspended" in agent.output, lambda: agent.output)
    refused = resume(api, run, run_input={"approved": "who knows"})
    resumed = resume(api, run, run_input={"approved": True})
    api.until_ended(run)

    assert (refused, resumed) == ("REJECT", "ACCEPT")
    assert api.history(run) == [
        "Scheduled", "Pending", "Running", "Suspended", "Resuming", "Pending", "Running", "Completed"
    ]  # fmt: skip
    assert log.read_text().splitlines() == ["prepare", "approved=True elsewhere=True"]
    found = api.get(f"/flow_runs/{run}")
    assert (found["run_count"], json.dumps(found["empirical_policy"]["pause_keys"])) == (1, '["1"]')
    assert "crash" not in api.logs(run).lower()


def test_an_async_flow_is_suspended_more_than_once(api: Api, queue: str, start_agent: StartAgent, log: Path):
    start_agent()
    run = api.run_of("suspending.py:suspended_twice", queue, log=str(log))

    for lines in ([], ["1"]):
        api.until(run, "Suspended")
        assert (log.read_text().splitlines() if log.exists() else []) == lines
        resume(api, run)
        eventually(lambda: api.state(run)["name"] != "Suspended")
    api.until_ended(run)

    assert log.read_text().splitlines() == ["1", "1", "2"]


def test_a_run_that_is_suspended_from_outside_leaves_at_its_next_task(
    api: Api, queue: str, start_agent: StartAgent, log: Path, monkeypatch: pytest.MonkeyPatch
):
    from orionflow import suspend_flow_run

    agent = start_agent()
    monkeypatch.setenv("ORION_API_URL", api.url)
    run = api.run_of("suspending.py:ticking", queue, log=str(log))
    eventually(lambda: log.exists() and len(log.read_text().splitlines()) > 2, lambda: agent.output)

    suspend_flow_run(flow_run_id=run, timeout=600)
    eventually(lambda: "ended as Suspended" in agent.output, lambda: agent.output)
    state = api.state(run)["name"]
    log.with_suffix(".stop").touch()
    resume(api, run)
    api.until_ended(run)

    assert state == "Suspended"
    assert api.history(run)[-5:] == ["Suspended", "Resuming", "Pending", "Running", "Completed"], agent.output
    assert log.read_text().splitlines()[-1] == "end"
    states = {one["state_name"] for one in api.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})}
    assert states <= {"Completed", "Pending"}
