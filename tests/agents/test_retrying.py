"""A deployed run is retried from one of its tasks: the agent's next process takes up what was recorded before."""

from __future__ import annotations

from pathlib import Path

import pytest

from orionflow.contract.ids import uuid7
from tests.agents.running import Api


@pytest.mark.parametrize("new_run", [False, pytest.param(True, marks=pytest.mark.long)])
def test_an_agent_runs_the_chosen_task_and_what_depends_on_it(api: Api, served: str, tmp_path: Path, new_run: bool):
    log = tmp_path / "done"
    run = api.run_of("flows.py:stepping", served, log=str(log))
    assert api.until_ended(run)["name"] == "Completed"
    asked = {"from_tasks": ["second"], "new_run": new_run}
    preview = api.post(f"/flow_runs/{run}/retry/preview", asked)
    log.unlink()

    begun = api.post(f"/flow_runs/{run}/retry", {**asked, "id": str(uuid7())})

    retried = begun["retry"]["flow_run_id"]
    assert api.until_ended(retried)["name"] == "Completed"
    assert log.read_text().split() == ["second", "third", "inner-third"]
    # The first task is reused; the nested run takes input from what runs again, so all of it does.
    assert (preview["reused"], preview["again"]) == (1, 4)
    outcome = api.get(f"/flow_runs/{retried}/retries")[0]["outcome"]
    assert outcome == {"attempt": 1 if new_run else 2, "reused": 1, "again": 4, "new": 0}
    assert (retried == run) is not new_run
