"""Pages that stay true in a real browser: changes of other processes reach them, and nothing moves under a pointer."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import post
from tests.site.running import RunningServer, environment, running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PATIENCE = 30_000
# It says when it is in the middle, and goes on when it is asked to.
FLOW = """
import sys
from orionflow import flow, get_run_logger, task

@task
def load():
    print("running", flush=True)
    sys.stdin.readline()
    get_run_logger().info("a line from another process")

@flow(flow_run_name="from-elsewhere")
def elsewhere():
    load.submit().result()

elsewhere()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[RunningServer]:
    with running_server(home) as running:
        yield running


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    with chromium.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda line: complaints.append(line.text) if line.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        assert complaints == []


def show(page: Page, server: RunningServer, path: str) -> None:
    page.goto(f"http://127.0.0.1:{server.port}{path}")
    expect(page.locator("#live-control")).to_have_attribute("data-state", "live", timeout=PATIENCE)


def make_runs(server: RunningServer, number: int) -> list[str]:
    flow = post(server, "/flows/", name="live-flow")["id"]
    return [post(server, "/flow_runs/", flow_id=flow, name=f"live-{n}")["id"] for n in range(number)]


def test_what_another_process_records_reaches_the_page(page: Page, server: RunningServer, home: Path):
    make_runs(server, 1)
    show(page, server, "/runs")
    elsewhere = subprocess.Popen(
        [sys.executable, "-c", FLOW],
        env=environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert elsewhere.stdout is not None
        assert elsewhere.stdin is not None
        assert elsewhere.stdout.readline() == "running\n"
        page.get_by_role("button", name=re.compile("1 new run: show")).click(timeout=PATIENCE)
        row = page.get_by_role("row", name=re.compile("from-elsewhere"))
        expect(row).to_contain_text("Running", timeout=PATIENCE)

        elsewhere.stdin.write("\n")
        elsewhere.stdin.flush()

        expect(row).to_contain_text("Completed", timeout=PATIENCE)
    finally:
        elsewhere.kill()
        elsewhere.communicate()
