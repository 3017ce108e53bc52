"""Pages that stay true in a real browser: changes of other processes reach them, and nothing moves under a pointer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, WebSocket, expect

from tests import warm
from tests.browser.conftest import line, move, post
from tests.printed import read_line
from tests.site.running import RunningServer, environment, running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PATIENCE = 30_000
# The flow reports that it is halfway, and continues when it is asked to.
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


TABS = int(os.environ.get("ORION_LIVE_TABS", 3))
STATES = """() => [...document.querySelectorAll("#live-rows tbody tr")].map(
  (row) => [row.id, row.querySelector(".state").innerText.trim()])"""
NO_SOCKETS = """window.WebSocket = class {
  static OPEN = 1;
  constructor() { setTimeout(() => this.onclose({ code: 1006 })); }
};"""
SAME_STATES = f"(wanted) => JSON.stringify(({STATES})()) === JSON.stringify(wanted)"


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


def write(server: RunningServer, run: str, clock: str, message: str) -> None:
    """One line into the log of a run."""
    body = json.dumps([{**line(run, run, message), "task_run_id": None, "timestamp": f"2026-11-20T{clock}+00:00"}])
    server.request("POST", "/api/logs/", body.encode(), {"Content-Type": "application/json"})


HIDE = """(isHidden) => {
  Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_hidden_tab_costs_the_server_nothing_and_is_true_when_it_is_looked_at(page: Page, server: RunningServer):
    run = make_runs(server, 1)[0]
    sockets: list[WebSocket] = []
    page.on("websocket", lambda one: sockets.append(one))
    show(page, server, f"/runs/{run}")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.evaluate(HIDE, True)
    move(server, "flow_runs", run, "RUNNING")
    page.wait_for_timeout(2000)

    assert asked == []
    assert [one.is_closed() for one in sockets] == [True]
    page.evaluate(HIDE, False)
    expect(page.locator("#live-head .state-word")).to_have_text("Running", timeout=PATIENCE)


def test_what_another_process_records_reaches_the_page(page: Page, server: RunningServer, home: Path):
    make_runs(server, 1)
    show(page, server, "/runs")
    elsewhere = warm.Popen(
        [sys.executable, "-c", FLOW],
        env=environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert elsewhere.stdin is not None
        assert read_line(elsewhere.stdout) == "running\n"
        page.get_by_role("button", name=re.compile("1 new run: show")).click(timeout=PATIENCE)
        row = page.get_by_role("row", name=re.compile("from-elsewhere"))
        expect(row).to_contain_text("Running", timeout=PATIENCE)

        elsewhere.stdin.write("\n")
        elsewhere.stdin.flush()

        expect(row).to_contain_text("Completed", timeout=PATIENCE)
    finally:
        elsewhere.kill()
        elsewhere.communicate()


def test_rows_do_not_move_under_the_pointer(page: Page, server: RunningServer):
    first, second, _ = make_runs(server, 3)
    show(page, server, "/runs?flow=live-flow")
    row = page.locator(f"#run-{second}")
    row.hover()
    before_rows = page.locator("#live-rows tbody tr").count()
    before = row.bounding_box()

    make_runs(server, 5)
    move(server, "flow_runs", second, "RUNNING")
    move(server, "flow_runs", first, "RUNNING")

    expect(row).to_contain_text("Running", timeout=PATIENCE)
    expect(page.get_by_role("button", name="5 new runs: show")).to_be_visible(timeout=PATIENCE)
    assert row.bounding_box() == before
    page.get_by_role("button", name="5 new runs: show").click()
    expect(page.locator("#live-rows tbody tr")).to_have_count(before_rows + 5, timeout=PATIENCE)
    expect(page.get_by_role("button", name=re.compile("show"))).to_have_count(0)


def test_new_rows_are_shown_on_demand_without_waiting_for_an_answer_under_way(page: Page, server: RunningServer):
    run, *_ = make_runs(server, 3)
    show(page, server, "/runs?flow=live-flow")
    before = page.locator("#live-rows tbody tr").count()
    make_runs(server, 1)
    pill = page.get_by_role("button", name="1 new run: show")
    expect(pill).to_be_visible(timeout=PATIENCE)
    unanswered: list[Route] = []
    page.route(re.compile("_f="), lambda one: one.continue_() if unanswered else unanswered.append(one))
    with page.expect_request(re.compile("_f=")):
        move(server, "flow_runs", run, "RUNNING")

    pill.click()

    expect(page.locator("#live-rows tbody tr")).to_have_count(before + 1)
    expect(page.locator(f"#run-{run}")).to_contain_text("Running")
    assert unanswered


def test_a_request_that_is_never_answered_is_made_again(page: Page, server: RunningServer):
    run = make_runs(server, 1)[0]
    sockets: list[WebSocket] = []
    page.on("websocket", lambda one: sockets.append(one))
    page.clock.install()
    show(page, server, f"/runs/{run}")
    unanswered: list[Route] = []
    page.route(re.compile("_f="), lambda one: one.continue_() if unanswered else unanswered.append(one))
    with page.expect_request(re.compile("_f=")):
        move(server, "flow_runs", run, "RUNNING")

    page.clock.fast_forward(30_000)
    with sockets[0].expect_event("framereceived"):
        move(server, "flow_runs", run, "COMPLETED")
    page.clock.fast_forward(15_000)
    page.clock.fast_forward(20_000)

    expect(page.locator("#live-head .state-word")).to_have_text("Completed", timeout=PATIENCE)
    assert [one.is_closed() for one in sockets] == [False]

    unanswered.clear()
    with page.expect_request(re.compile("_f=")):
        post(server, f"/flow_runs/{run}/set_state", state={"type": "FAILED"}, force=True)
    page.clock.fast_forward(45_000)

    expect(page.locator("#live-head .state-word")).to_have_text("Failed", timeout=PATIENCE)
    assert [one.is_closed() for one in sockets] == [True, False]


def test_a_plot_that_appears_waits_until_no_row_is_pointed_at(page: Page, server: RunningServer):
    flow = post(server, "/flows/", name="plotted")["id"]
    runs = [post(server, "/flow_runs/", flow_id=flow, name=f"plotted-{n}")["id"] for n in range(5)]
    for run in runs[:4]:
        move(server, "flow_runs", run, "RUNNING")
    show(page, server, "/runs?flow=plotted")
    row = page.locator(f"#run-{runs[4]}")
    row.hover()
    before = row.bounding_box()

    move(server, "flow_runs", runs[4], "RUNNING")

    expect(row).to_contain_text("Running", timeout=PATIENCE)
    # The plot came with the row, and is tried again every 300 ms.
    page.wait_for_timeout(1000)
    assert row.bounding_box() == before
    page.mouse.move(0, 0)
    expect(page.locator("figure.plot")).to_be_visible(timeout=PATIENCE)


@pytest.mark.short
def test_the_page_of_a_run_follows_it_to_its_end(page: Page, server: RunningServer):
    run = make_runs(server, 1)[0]
    show(page, server, f"/runs/{run}?tab=tasks")
    expect(page).to_have_title(re.compile("^Pending"))

    move(server, "flow_runs", run, "RUNNING")
    expect(page.locator("#live-head")).to_contain_text("Running", timeout=PATIENCE)
    task = post(server, "/task_runs/", flow_run_id=run, task_key="etl.load", dynamic_key="0", name="load-0")["id"]
    move(server, "task_runs", task, "RUNNING")
    expect(page.locator(f"#task-{task}")).to_contain_text("Running", timeout=PATIENCE)
    move(server, "task_runs", task, "FAILED", message="KeyError: 'customer_id'")
    move(server, "flow_runs", run, "FAILED", message="1 of 1 tasks failed")

    expect(page.locator(f"#task-{task}")).to_contain_text("KeyError", timeout=PATIENCE)
    expect(page.locator("#live-facts")).to_contain_text("customer_id", timeout=PATIENCE)
    expect(page).to_have_title(re.compile("^Failed"), timeout=PATIENCE)
    expect(page.locator("#live-announcement")).to_contain_text("This run:", timeout=PATIENCE)


@pytest.mark.short
def test_a_log_grows_at_its_end_and_stays_in_order(page: Page, server: RunningServer):
    run = make_runs(server, 1)[0]
    write(server, run, "12:00:00", "first")
    show(page, server, f"/runs/{run}?tab=logs")

    write(server, run, "12:00:05", "third")
    expect(page.locator("ol.log")).to_contain_text("third", timeout=PATIENCE)
    # The message comes from another process, a moment later.
    write(server, run, "12:00:03", "second")

    expect(page.locator("ol.log .text")).to_have_text(["first", "second", "third"], timeout=PATIENCE)


def test_buttons_are_not_replaced_under_the_pointer(page: Page, server: RunningServer):
    run = make_runs(server, 1)[0]
    move(server, "flow_runs", run, "RUNNING")
    show(page, server, f"/runs/{run}")
    cancel = page.get_by_role("button", name="Cancel run")
    cancel.hover()

    move(server, "flow_runs", run, "COMPLETED")
    expect(page.locator("#live-head")).to_contain_text("Completed", timeout=PATIENCE)

    expect(cancel).to_be_visible()
    page.mouse.move(700, 700)
    expect(cancel).to_be_hidden(timeout=PATIENCE)


def test_a_paused_page_stays_as_it_is_until_it_goes_on(page: Page, server: RunningServer):
    run = make_runs(server, 1)[0]
    show(page, server, f"/runs/{run}")
    control = page.locator("#live-control")
    page.keyboard.press(".")
    expect(control).to_contain_text("Paused")

    move(server, "flow_runs", run, "RUNNING")
    page.wait_for_timeout(1500)
    expect(page.locator("#live-head")).to_contain_text("Pending")

    control.click()
    expect(page.locator("#live-head")).to_contain_text("Running", timeout=PATIENCE)
    expect(control).to_contain_text("Live")


@pytest.mark.short
def test_a_page_without_a_socket_polls(page: Page, server: RunningServer):
    run = make_runs(server, 1)[0]
    page.add_init_script(NO_SOCKETS)
    page.goto(f"http://127.0.0.1:{server.port}/runs/{run}")
    expect(page.locator("#live-control")).to_contain_text("Polling", timeout=PATIENCE)

    move(server, "flow_runs", run, "RUNNING")

    expect(page.locator("#live-head")).to_contain_text("Running", timeout=PATIENCE)


def test_opened_and_ticked_elements_stay_so(page: Page, server: RunningServer):
    run = make_runs(server, 1)[0]
    move(server, "flow_runs", run, "RUNNING")
    show(page, server, f"/runs/{run}?tab=history")
    page.locator("#live-tab details").first.evaluate("one => one.open = true")

    move(server, "flow_runs", run, "COMPLETED")
    expect(page.locator("#live-tab .history > li")).to_have_count(3, timeout=PATIENCE)

    assert page.locator("#live-tab details[open]").count() == 1


def test_after_a_storm_each_page_equals_a_fresh_one(chromium: Browser, server: RunningServer):
    """Live pages merge and omit changes. After many changes, several tabs must show what a new page shows."""
    runs = make_runs(server, 20)
    with chromium.new_context() as context:
        tabs = [context.new_page() for _ in range(TABS)]
        for tab in tabs:
            show(tab, server, "/runs?flow=live-flow")
        for state in ("RUNNING", "PAUSED", "RUNNING", "COMPLETED"):
            for run in runs:
                move(server, "flow_runs", run, state)

        fresh = context.new_page()
        show(fresh, server, "/runs?flow=live-flow")
        wanted = fresh.evaluate(STATES)

        for tab in tabs:
            expect(tab.locator(f"#run-{runs[-1]}")).to_contain_text("Completed", timeout=PATIENCE)
            tab.wait_for_function(SAME_STATES, arg=wanted, timeout=PATIENCE)


def test_the_first_page_turns_into_the_first_run(page: Page, tmp_path: Path):
    with running_server(tmp_path) as empty:
        show(page, empty, "/")
        expect(page.get_by_text("No flow has run here yet")).to_be_visible()

        run = make_runs(empty, 1)[0]
        move(empty, "flow_runs", run, "RUNNING")

        expect(page.get_by_role("link", name="live-0").first).to_be_visible(timeout=PATIENCE)


def test_pools_agents_and_limits_are_live_too(page: Page, server: RunningServer):
    pool = post(server, "/work_pools/", name="live-pool", type="process")
    show(page, server, "/work")
    section = page.locator(f"#pool-{pool['id']}")
    expect(section.get_by_role("button", name="Pause")).to_be_visible()

    page.request.patch(f"http://127.0.0.1:{server.port}/api/work_pools/live-pool", data={"is_paused": True})

    expect(section.get_by_text("Paused").first).to_be_visible(timeout=PATIENCE)
    expect(section.get_by_role("button", name="Resume")).to_be_visible(timeout=PATIENCE)
    for path in ("/agents", "/limits", "/deployments", "/"):
        show(page, server, path)
