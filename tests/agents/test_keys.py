"""Agents with a key: the code that they execute gets a token of its run, not the key nor the server's secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import warm
from tests.agents.running import QUICK, Api, running_agent
from tests.site.running import COMMAND, environment, orion, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, str]]:
    """A server with a user, and the key of an agent."""
    home = tmp_path_factory.mktemp("server")
    with running_server(home, **QUICK) as running:
        done = orion(home, "key", "create", "smith", "--role", "agent", "-o", "json")
        api = Api(running)
        api.post("/variables/", {"name": "colour", "value": "blue"})
        api.post("/v2/concurrency_limits/", {"name": "seats", "limit": 1})
        words, own = [*COMMAND, "secret", "set", "vault"], environment(home, ORION_API_URL=api.url)
        warm.run(words, env=own, input="open sesame", text=True, capture_output=True, check=True)
        yield api, str(json.loads(done.stdout)["key"])


@pytest.mark.parametrize("launcher", ["fork", pytest.param("spawn", marks=pytest.mark.long)])
def test_a_run_speaks_by_its_token(server: tuple[Api, str], queue: str, home: Path, tmp_path: Path, launcher: str):
    api, key = server
    secrets = {
        "ORION_DATABASE_URL": "sqlite:////hush/orion.db",
        "DATABASE_URL": "x sqlite:////hush/orion.db",
        "PREFECT_API_KEY": key,
        "MY_KEY": key,
    }
    with running_agent(
        home, api, queue, "--launcher", launcher, ORION_API_KEY=key, cold_launcher=True, **secrets
    ):  # fmt: skip
        other = api.deploy("flows.py:doubling", queue)
        run = api.run_of("speaking.py:speaking", queue, into=str(tmp_path / "seen"), other=other)
        ended = api.until_ended(run)

    assert ended["name"] == "Completed", api.logs(run)
    seen = (tmp_path / "seen").read_text()
    assert key not in seen
    assert "hush" not in seen
    tokens = {line.partition("=")[2] for line in seen.splitlines() if line.startswith("ORION_API_KEY=")}
    assert [token[:4] for token in tokens] == ["ort_"]
    logs = api.logs(run)
    assert "hello" in logs
    assert "Finished in state Completed" in logs or "Completed" in logs
    nested = api.post("/flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": [run]}}})
    assert [one["state_name"] for one in nested] == ["Completed", "Completed"]
    assert api.post("/task_runs/count", {"flow_runs": {"parent_flow_run_id": {"any_": [run]}}}) == 4
    assert api.post("/artifacts/count", {"artifacts": {"flow_run_id": {"any_": [run]}}}) == 1


def test_a_run_reports_its_failure_with_its_token(server: tuple[Api, str], queue: str, home: Path):
    api, key = server
    with running_agent(home, api, queue, ORION_API_KEY=key):
        run = api.run_of("speaking.py:failing", queue)
        ended = api.until_ended(run)

    assert (ended["name"], "as it should" in ended["message"]) == ("Failed", True)
    assert "this goes wrong" in api.logs(run)


def test_a_key_in_the_address_stays_with_the_agent(server: tuple[Api, str], queue: str, home: Path, tmp_path: Path):
    api, key = server
    address = api.url.replace("http://", f"http://key:{key}@")
    with running_agent(home, api, queue, ORION_API_URL=address, cold_launcher=True):
        other = api.deploy("flows.py:doubling", queue)
        run = api.run_of("speaking.py:speaking", queue, into=str(tmp_path / "seen"), other=other)
        assert api.until_ended(run)["name"] == "Completed", api.logs(run)

    assert key not in (tmp_path / "seen").read_text()
