"""The timeline of a run in a real browser: a subflow is opened in place, and stays open while the run goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import move, post
from tests.site.running import RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PATIENCE = 30_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture
def page(chromium: Browser, server: RunningServer) -> Iterator[Page]:
    with chromium.new_context(base_url=f"http://127.0.0.1:{server.port}") as context:
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        assert complaints == []


def start_task(server: RunningServer, run: str, name: str) -> str:
    task: str = post(server, "/task_runs/", flow_run_id=run, task_key=f"etl.{name}", dynamic_key="0", name=name)["id"]
    move(server, "task_runs", task, "RUNNING")
    return task


def test_a_subflow_is_opened_in_place_and_follows_its_tasks(page: Page, server: RunningServer):
    flow = post(server, "/flows/", name="etl")["id"]
    run = post(server, "/flow_runs/", flow_id=flow)["id"]
    move(server, "flow_runs", run, "RUNNING")
    caller = start_task(server, run, "inner-0")
    inner = post(server, "/flow_runs/", flow_id=flow, name="inner-run", parent_task_run_id=caller)["id"]
    first = start_task(server, inner, "first-0")
    page.goto(f"/runs/{run}?tab=timeline")
    expect(page.locator("#live-control")).to_have_attribute("data-state", "live", timeout=PATIENCE)
    toggle = page.locator(f"#open-{inner}")

    toggle.press("Enter")
    expect(page.locator(f"#row-{first}")).to_be_visible(timeout=PATIENCE)
    second = start_task(server, inner, "second-0")
    expect(page.locator(f"#row-{second}")).to_be_visible(timeout=PATIENCE)
    third = start_task(server, run, "third-0")
    expect(page.locator(f"#row-{third}")).to_be_visible(timeout=PATIENCE)

    expect(page.locator(f"#row-{first}")).to_be_visible()
    expect(toggle).to_be_focused()
    assert f"open={inner}" in page.url
    toggle.press("Enter")
    expect(page.locator(f"#row-{first}")).to_have_count(0, timeout=PATIENCE)
    assert "open=" not in page.url


def test_subflows_that_are_opened_at_once_are_all_open(page: Page, server: RunningServer):
    flow = post(server, "/flows/", name="etl")["id"]
    run = post(server, "/flow_runs/", flow_id=flow)["id"]
    move(server, "flow_runs", run, "RUNNING")
    callers = [start_task(server, run, f"inner-{place}") for place in range(2)]
    inner = [post(server, "/flow_runs/", flow_id=flow, parent_task_run_id=one)["id"] for one in callers]
    tasks = [start_task(server, one, "step-0") for one in inner]
    page.goto(f"/runs/{run}?tab=timeline")
    expect(page.locator("#live-control")).to_have_attribute("data-state", "live", timeout=PATIENCE)

    # Before the first of them is shown.
    page.evaluate("(ids) => ids.forEach((id) => document.getElementById(`open-${id}`).click())", inner)

    for task in tasks:
        expect(page.locator(f"#row-{task}")).to_be_visible(timeout=PATIENCE)
