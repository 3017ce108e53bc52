"""Blocks, their types, automations and triggers of deployments with the unmodified other client and its commands."""

from __future__ import annotations

import json
import os
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.compat.client import BIN, needs_client
from tests.site.running import RunningServer

PROGRAM = Path(__file__).with_name("blocks_program.py")
PATIENCE_SECONDS = 60

pytestmark = [pytest.mark.slow, needs_client]


@pytest.fixture
def client(server: RunningServer, tmp_path: Path) -> dict[str, str]:
    """The environment of the other client; it offers automations of servers of its own kind behind this switch."""
    given = {"API_URL": f"http://127.0.0.1:{server.port}/api", "HOME": str(tmp_path), "EXPERIMENTAL_EVENTS": "true"}
    return {**os.environ, "COLUMNS": "200", **{f"PREFECT_{name}": value for name, value in given.items()}}


def run(client: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / words[0]), *words[1:]]
    ended = subprocess.run(
        command, env=client, cwd=PROGRAM.parent, input="y\n", capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


def program(client: dict[str, str], word: str) -> Any:
    ended = run(client, "python", str(PROGRAM), word)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def prefect(client: dict[str, str], *words: str) -> str:
    ended = run(client, "prefect", *words)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def ask(server: RunningServer, path: str, body: Any) -> Any:
    given = {"Content-Type": "application/json"}
    status, _, answer = server.request("POST", path, json.dumps(body).encode(), given)
    assert status < 300, answer
    return json.loads(answer) if answer else None


def test_block_types_are_listed_made_known_and_protected(client: dict[str, str]) -> None:
    listed = prefect(client, "block", "type", "ls")
    inspected = prefect(client, "block", "type", "inspect", "slack-webhook")
    link = prefect(client, "block", "create", "slack-webhook")
    registered = prefect(client, "block", "register", "-m", "prefect.blocks.notifications")
    refused = run(client, "prefect", "block", "type", "delete", "secret")

    assert all(slug in listed for slug in ("secret", "s3", "kubernetes-job", "slack-webhook", "pager-duty-webhook"))
    assert "Slack Webhook" in inspected
    assert "/blocks/catalog/slack-webhook/create" in link
    assert "Successfully registered" in registered
    assert (refused.returncode, "protected" in refused.stdout) == (1, True)


def test_blocks_are_saved_loaded_and_deleted(client: dict[str, str]) -> None:
    found = program(client, "blocks")
    listed = prefect(client, "block", "ls")
    inspected = prefect(client, "block", "inspect", "slack-webhook/team")
    prefect(client, "block", "delete", "slack-webhook/team")

    assert found == {"url": "https://hooks.example.org/T1", "teams": ["ops"], "key": "second"}
    assert all(name in listed for name in ("slack-webhook/team", "opsgenie-webhook/pager", "account/mine"))
    assert "hooks.example.org" not in inspected
    assert run(client, "prefect", "block", "inspect", "slack-webhook/team").returncode == 1


def test_an_event_sets_off_the_deployment_whose_trigger_expects_it(
    server: RunningServer, client: dict[str, str]
) -> None:
    deployment = program(client, "deploy")
    again = program(client, "deploy")

    event = {"id": str(uuid4()), "occurred": datetime.now(UTC).isoformat(), "event": "sensor.spoke"}
    ask(server, "/api/events", [{**event, "resource": {"prefect.resource.id": "sensor.7"}}])

    assert deployment == again
    assert ask(server, "/api/automations/count", {}) == 2
    assert eventual_run(server, deployment)["parameters"] == {"sensor": "sensor.7", "n": 3}


def eventual_run(server: RunningServer, deployment: str) -> Any:
    until = time.monotonic() + PATIENCE_SECONDS
    wanted = {"deployments": {"id": {"any_": [deployment]}}}
    while not (found := ask(server, "/api/flow_runs/filter", wanted)):
        assert time.monotonic() < until, "the deployment was not run"
        time.sleep(0.2)
    (made,) = found
    return made


def test_automations_are_shown_switched_and_deleted(server: RunningServer, client: dict[str, str]) -> None:
    program(client, "deploy")
    name = "when a sensor speaks"

    listed = prefect(client, "automation", "ls")
    inspected = prefect(client, "automation", "inspect", name)
    prefect(client, "automation", "pause", name)
    paused = enabled(server, name)
    prefect(client, "automation", "resume", name)
    resumed = enabled(server, name)
    prefect(client, "automation", "delete", name)

    assert name in listed
    assert "sensor.spoke" in inspected
    assert (paused, resumed, enabled(server, name)) == ([False], [True], [])


def enabled(server: RunningServer, name: str) -> list[bool]:
    found = ask(server, "/api/automations/filter", {"automations": {"name": {"any_": [name]}}})
    return [one["enabled"] for one in found]
