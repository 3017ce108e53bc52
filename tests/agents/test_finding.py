"""Further work of agents: finding the flows in a repository, and running backfills."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from urllib.parse import urlencode

from orionflow.contract.discovery import ARTIFACT_TYPE
from tests.agents.conftest import StartAgent
from tests.agents.running import Api, eventually

FLOW = '''
from orionflow import flow

@flow(name="daily-count")
def count(day: str):
    """Count a day."""
'''


def asked_on_the_page(api: Api, **form: str) -> str:
    """Send the form of "New deployment"; the id of the run that finds the flows."""
    _, headers, page = api.server.get("/deployments/new", Accept="text/html")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token, page
    cookie = headers["set-cookie"].partition(";")[0]
    body = urlencode({**form, "csrfmiddlewaretoken": token[1]}).encode()
    more = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    status, headers, page = api.server.request("POST", "/deployments/new", body, more)
    assert status == 302, page
    return headers["location"].rpartition("/")[2]


def test_an_agent_finds_the_flows_of_a_repository(api: Api, queue: str, start_agent: StartAgent, tmp_path: Path):
    repository = tmp_path / "flows"
    repository.mkdir()
    (repository / "count.py").write_text(FLOW)
    (repository / "broken.py").write_text("from orionflow import flow\nimport nowhere\nf = flow(print)\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=repository, check=True)
    start_agent()

    run = asked_on_the_page(
        api, kind="git", address=f"file://{repository}", queue=f"default-agent-pool / {queue}", branch="", folder=""
    )

    # Only the page creates such runs, because their parameters decide which code is executed.
    steps = [{"orionflow.storage.git_clone": {"repository": f"file://{repository}"}}]
    refused = api.server.request(
        "POST",
        f"/api/deployments/{api.get(f'/flow_runs/{run}')['deployment_id']}/create_flow_run",
        json.dumps({"parameters": {"pull_steps": steps}}).encode(),
        {"Content-Type": "application/json"},
    )
    assert refused[0] == 403
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
