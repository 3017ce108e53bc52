"""The unmodified client of Prefect 2 with its experimental settings: events in and out, and tasks served elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.compat.client import PYTHON, needs_client
from tests.site.running import RunningServer

PROGRAM = Path(__file__).with_name("experimental_program.py")
PATIENCE_SECONDS = 90

pytestmark = [pytest.mark.slow, needs_client]


@pytest.fixture
def environment(server: RunningServer, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {
        **kept,
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_API_URL": f"http://127.0.0.1:{server.port}/api",
        "PREFECT_EXPERIMENTAL_EVENTS": "true",
        "PREFECT_EXPERIMENTAL_ENABLE_TASK_SCHEDULING": "true",
    }


def run(word: str, environment: dict[str, str]) -> Any:
    """Run the program; return the JSON that it printed last."""
    ended = subprocess.run(
        [str(PYTHON), str(PROGRAM), word],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert ended.returncode == 0, ended.stderr
    assert "failed with" not in ended.stderr, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@contextmanager
def serving_tasks(environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen([str(PYTHON), str(PROGRAM), "serve"], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(server: RunningServer, path: str, body: Any) -> Any:
    status, _, text = server.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    assert status == 200, text
    return json.loads(text)


def test_events_are_emitted_followed_and_found(server: RunningServer, environment: dict[str, str]):
    answer = run("emit", environment)

    found = ask(server, "/api/events/filter", {"filter": {"event": {"prefix": ["trial."]}}})
    assert answer == ["trial.before", "trial.after"]
    assert {one["event"] for one in found["events"]} == {"trial.before", "trial.after", "trial.inside"}
    [before] = [one for one in found["events"] if one["event"] == "trial.before"]
    assert before["payload"] == {"degrees": 3}
    [inside] = [one for one in found["events"] if one["event"] == "trial.inside"]
    assert {one["prefect.resource.role"] for one in inside["related"]} >= {"flow-run", "flow"}


def test_calls_are_run_by_the_process_that_serves_their_tasks(server: RunningServer, environment: dict[str, str]):
    before = run("call", environment)

    with serving_tasks(environment):
        after = run("call", environment)
        runs = ended_runs(server, [*before, *after])

    assert [one["state"]["type"] for one in runs] == ["COMPLETED"] * 4
    assert sorted(one["run_count"] for one in runs) == [1, 1, 1, 2]
    assert {one["flow_run_id"] for one in runs} == {None}


def ended_runs(server: RunningServer, ids: list[str]) -> list[Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        runs: list[Any] = ask(server, "/api/task_runs/filter", {"task_runs": {"id": {"any_": ids}}})
        if all(one["state"]["type"] in {"COMPLETED", "FAILED", "CRASHED"} for one in runs):
            return runs
        time.sleep(0.2)
    raise AssertionError(runs)
