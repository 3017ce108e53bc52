"""A real browser before a real server, which knows what a few runs told it through the API."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.houses import House, furnished_server
from tests.site.running import RunningServer, running_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass
class Shown:
    """A server, and the ids of what can be looked at there."""

    address: str
    run: str
    task_run: str
    flow: str


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    with running_server(tmp_path_factory.mktemp("home")) as server:
        yield reported(server)


@pytest.fixture(scope="session")
def evil_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with furnished_server(tmp_path_factory.mktemp("evil"), "evil") as house:
        yield house


@pytest.fixture(scope="session")
def plain_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with furnished_server(tmp_path_factory.mktemp("plain"), "plain") as house:
        yield house


# Not for the session: playwright keeps an event loop running in this thread, and asyncio tests want their own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


def reported(server: RunningServer) -> Shown:
    """One flow run that failed after two tasks, with logs, and one that runs."""
    flow = post(server, "/flows/", name="a-flow-with-quite-a-long-name-for-a-small-screen")["id"]
    run = post(server, "/flow_runs/", flow_id=flow, tags=["prod", "daily"], parameters={"day": "2026-11-20"})["id"]
    move(server, "flow_runs", run, "RUNNING")
    for number, end in enumerate(("COMPLETED", "FAILED")):
        task = post(
            server, "/task_runs/", flow_run_id=run, task_key="etl.load", dynamic_key=str(number), name=f"load-{number}"
        )
        move(server, "task_runs", task["id"], "RUNNING")
        move(server, "task_runs", task["id"], end, message="KeyError: 'customer_id' " + "with-a-long-word-" * 12)
    lines = [line(run, task["id"], f"line {number} " + "x" * 300) for number in range(20)]
    server.request("POST", "/api/logs/", json.dumps(lines).encode(), {"Content-Type": "application/json"})
    move(server, "flow_runs", run, "FAILED", message="1 of 2 tasks failed")
    other = post(server, "/flow_runs/", flow_id=flow)["id"]
    move(server, "flow_runs", other, "RUNNING")
    return Shown(f"http://127.0.0.1:{server.port}", run, task["id"], flow)


def move(server: RunningServer, kind: str, run_id: str, state: str, **more: Any) -> None:
    post(server, f"/{kind}/{run_id}/set_state", state={"type": state, **more})


def line(run: str, task: str, message: str) -> dict[str, Any]:
    return {
        "name": "orion.task_runs",
        "level": 40,
        "message": message,
        # The server deletes what is old, and tests look at it for longer than ten minutes.
        "timestamp": datetime.now(UTC).isoformat(),
        "flow_run_id": run,
        "task_run_id": task,
    }


def post(server: RunningServer, path: str, **body: Any) -> Any:
    status, _, text = server.request(
        "POST", "/api" + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    assert status in {200, 201}, text
    return json.loads(text)
