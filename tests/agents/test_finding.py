"""Agents asked to find flows in some code, and to make up for times that passed, beside running deployed flows."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from orionflow.contract.discovery import ARTIFACT_TYPE, ENTRYPOINT
from tests.agents.conftest import StartAgent
from tests.agents.running import Api, eventually

FLOW = '''
from orionflow import flow

@flow(name="daily-count")
def count(day: str):
    """Count a day."""
'''


def test_an_agent_finds_the_flows_of_a_repository(api: Api, queue: str, start_agent: StartAgent, tmp_path: Path):
    repository = tmp_path / "flows"
    repository.mkdir()
    (repository / "count.py").write_text(FLOW)
    (repository / "broken.py").write_text("from orionflow import flow\nimport nowhere\nf = flow(print)\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=repository, check=True)
    start_agent()
    steps = [{"orionflow.storage.git_clone": {"repository": f"file://{repository}"}}]

    run = api.run(api.deploy(ENTRYPOINT, queue, path=None), pull_steps=steps)

    assert api.until_ended(run)["name"] == "Completed", api.logs(run)
    (artifact,) = api.post("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
    answer = json.loads(artifact["data"])
    assert artifact["type"] == ARTIFACT_TYPE
    assert [(one["name"], one["entrypoint"]) for one in answer["flows"]] == [("daily-count", "count.py:count")]
    assert [one["file"] for one in answer["problems"]] == ["broken.py"]


def test_an_agent_runs_a_backfill_to_its_end(api: Api, queue: str, start_agent: StartAgent):
    start_agent()
    deployment = api.deploy("flows.py:doubling", queue)
    asked = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-03T00:00:00Z", "schedule": {"interval": 86400}}

    made = api.post("/backfills/", {**asked, "deployment_id": deployment, "time_parameter": "x", "at_once": 2})

    path = f"/backfills/{made['id']}"
    eventually(lambda: api.get(path)["status"] == "done", lambda: api.get(path))
    assert api.get(path)["states"].keys() <= {"COMPLETED", "FAILED"}
    assert api.get(path)["ended"] == 3
