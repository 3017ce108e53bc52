"""Results of deployed flows: stored where the deployment says, sealed with the key of the installation."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.agents.running import QUICK, Agent, Api
from tests.site.running import orion, running_server

StartAgent = Callable[..., Agent]
KEY = "a key that the machines of this installation share"
READ = """
import sys, json
from orionflow.results import read_record
print(json.dumps(read_record(json.loads(sys.argv[1]))))
"""


FIND = """
import sys
from orionflow.results.locations import find_location
for name in sys.argv[1:]:
    try:
        print(find_location(name))
    except Exception as error:
        print(type(error).__name__, error)
"""


def add_location(api: Api, url: str, **options: str) -> str:
    name = f"lake-{uuid4().hex[:8]}"
    api.post("/block_types/install_system_block_types", {})
    kind = api.get("/block_types/slug/result-location")
    [schema] = api.post("/block_schemas/filter", {"block_schemas": {"block_type_id": {"any_": [kind["id"]]}}})
    named = {"block_type_id": kind["id"], "block_schema_id": schema["id"]}
    api.post("/block_documents/", {"name": name, "data": {"url": url, "options": options}, **named})
    return name


@pytest.fixture
def lake(api: Api, tmp_path: Path) -> tuple[str, Path]:
    """A location on the server, and the folder behind it."""
    return add_location(api, str(tmp_path / "lake")), tmp_path / "lake"


def stored(api: Api, run: str) -> dict[str, Any]:
    data: dict[str, Any] = api.get(f"/flow_runs/{run}")["state"]["data"]
    return data


def read_elsewhere(api: Api, home: Path, record: dict[str, Any], key: str) -> subprocess.CompletedProcess[str]:
    """By a program on another machine: it has a home of its own, and perhaps the key."""
    environment = {
        "ORION_HOME": str(home),
        "ORION_API_URL": api.url,
        "ORION_RESULTS_KEY": key,
        "PATH": "/usr/bin",
    }
    return subprocess.run(
        [sys.executable, "-c", READ, json.dumps(record)], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("launcher", ["fork", pytest.param("spawn", marks=pytest.mark.long)])
def test_a_deployment_places_results_and_other_machines_read_them_with_the_key(
    api: Api, queue: str, start_agent: StartAgent, lake: tuple[str, Path], tmp_path: Path, launcher: str
):
    name, folder = lake
    start_agent("--launcher", launcher, ORION_RESULTS_KEY=KEY)
    deployment = api.deploy("flows.py:pairing", queue, result_storage=name)

    run = api.run(deployment)

    assert api.until_ended(run)["name"] == "Completed"
    record = stored(api, run)
    assert (record["storage"], record["serializer_type"]) == (f"location:{name}", "pickle")
    assert (folder / record["storage_key"]).is_file()
    with_key = read_elsewhere(api, tmp_path / "a", record, KEY)
    without = read_elsewhere(api, tmp_path / "b", record, "a key of another installation")
    assert with_key.stdout == "[1, 2]\n", with_key.stderr
    assert "UntrustedResult" in without.stderr
    assert "ORION_RESULTS_KEY" in without.stderr


def test_job_variables_are_nearer_to_the_run_than_its_deployment(
    api: Api, served: str, lake: tuple[str, Path], tmp_path: Path
):
    variables = {"env": {"ORION_RESULTS_STORAGE": str(tmp_path / "other")}}
    deployment = api.deploy("flows.py:pairing", served, result_storage=lake[0], job_variables=variables)

    run = api.run(deployment)

    assert api.until_ended(run)["name"] == "Completed"
    assert stored(api, run)["storage"] == (tmp_path / "other").as_uri()


@pytest.mark.long
def test_without_the_right_to_read_secrets_only_locations_without_options_work(tmp_path: Path):
    home = tmp_path / "server"
    with running_server(home, **QUICK) as running:
        api = Api(running)
        plain, sealed = add_location(api, "memory://a"), add_location(api, "memory://b", key="hush")
        seen = {}
        for role in ("viewer", "deployer"):
            made = orion(home, "key", "create", role, "--role", role, "-o", "json").stdout
            key = json.loads(made)["key"]
            environment = {"ORION_HOME": str(tmp_path / role), "ORION_API_URL": api.url, "ORION_API_KEY": key}
            command = [sys.executable, "-c", FIND, plain, sealed]
            seen[role] = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert f"Location(name='{plain}', url='memory://a', options={{}})" in seen["viewer"]
    assert f"secrets=['result-location/{sealed}']" in seen["viewer"]
    assert "hush" not in seen["viewer"]
    assert f"Location(name='{sealed}', url='memory://b', options={{'key': 'hush'}})" in seen["deployer"]
