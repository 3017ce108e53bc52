"""After a storm every open page equals a fresh one, whatever was merged, left out, or lost with the server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from benchmarks.batch import items
from tests import warm
from tests.browser.conftest import move, post
from tests.browser.tabs import open_tabs, wait_until_all_are_true
from tests.site.running import RunningServer, environment, running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]
PATIENCE_SECONDS = 60
FLOW = """
from orionflow import flow, task

@task
def load(number):
    return number

@flow
def elsewhere():
    return load.map(range(5)).result()

elsewhere()
"""


def pages_of(runs: list[str], flow: str) -> list[str]:
    return [
        "/runs",
        "/runs?flow=storm",
        "/runs?state=running",
        f"/flows/{flow}",
        f"/runs/{runs[0]}?tab=tasks",
        f"/runs/{runs[2]}?tab=parameters",
        f"/runs/{runs[1]}?tab=history",
        "/flows",
    ]


def make_runs(server: RunningServer, number: int) -> tuple[list[str], str]:
    flow = post(server, "/flows/", name="storm")["id"]
    return [post(server, "/flow_runs/", flow_id=flow, name=f"storm-{n}")["id"] for n in range(number)], flow


def storm(server: RunningServer, runs: list[str], rounds: int) -> None:
    """Change every run again and again, and report task runs of the first in batches."""
    for turn in range(rounds):
        for run in runs:
            state = {"type": ("RUNNING", "PAUSED", "RUNNING", "COMPLETED")[min(turn, 3)]}
            post(server, f"/flow_runs/{run}/set_state", state=state, force=True)
        body = {"sent_at": datetime.now(UTC).isoformat(), "items": items(UUID(runs[0]), 10)}
        status, _, answer = server.request(
            "POST",
            "/api/task_runs/transitions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        assert status < 300, answer


@contextmanager
def another_process(home: Path) -> Iterator[None]:
    """Run flows that record into the same file, without the server, while the block goes on."""
    process = warm.Popen(
        [sys.executable, "-c", FLOW], env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("number", "rounds"), [(8, 2), pytest.param(100, 20, marks=pytest.mark.everywhere)], ids=["short", "100 tabs"]
)
def test_after_a_storm_each_tab_equals_a_fresh_page(tmp_path: Path, number: int, rounds: int):
    with running_server(tmp_path) as server:
        runs, flow = make_runs(server, 12)
        pages = pages_of(runs, flow)
        with open_tabs(server.port, [pages[one % len(pages)] for one in range(number)]) as tabs:
            with another_process(tmp_path):
                storm(server, runs, rounds)

            wait_until_all_are_true(tabs, PATIENCE_SECONDS)

            assert all(tab.requests > len(tab.parts) for tab in tabs)


@pytest.mark.everywhere
def test_after_a_restart_in_the_storm_each_tab_equals_a_fresh_page(tmp_path: Path):
    with running_server(tmp_path) as server:
        runs, flow = make_runs(server, 12)
        port = server.port
        pages = pages_of(runs, flow)
        with open_tabs(port, [pages[one % len(pages)] for one in range(100)]) as tabs:
            storm(server, runs, 2)
            server.process.kill()
            server.process.wait()
            # In the meantime a change is recorded that is not announced.
            with another_process(tmp_path):
                pass
            with running_server(tmp_path, "--port", str(port)) as again:
                storm(again, runs, 4)
                move(again, "flow_runs", runs[-1], "RUNNING")

                wait_until_all_are_true(tabs, PATIENCE_SECONDS)

                assert all(tab.restarts for tab in tabs)
