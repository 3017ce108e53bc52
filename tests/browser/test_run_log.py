"""The log of a run in a real browser: followed, searched, entered at a line, and joined with the timeline."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import move, post
from tests.site.running import RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PATIENCE = 30_000
ROWS = "document.querySelectorAll('ol.log > li[data-at]').length"


@dataclass
class House:
    """A server with a run of two tasks, and a run that goes on."""

    server: RunningServer
    run: str
    tasks: list[str]
    moving: str


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running_server(tmp_path_factory.mktemp("home")) as server:
        flow = post(server, "/flows/", name="etl")["id"]
        run, moving = (post(server, "/flow_runs/", flow_id=flow)["id"] for _ in range(2))
        for one in (run, moving):
            move(server, "flow_runs", one, "RUNNING")
        tasks = [make_task(server, run, name) for name in ("extract-0", "load-0")]
        move(server, "flow_runs", run, "COMPLETED")
        yield House(server, run, tasks, moving)


def make_task(server: RunningServer, run: str, name: str) -> str:
    task: str = post(server, "/task_runs/", flow_run_id=run, task_key=f"etl.{name}", dynamic_key="0", name=name)["id"]
    move(server, "task_runs", task, "RUNNING")
    write(server, run, [f"{name} line {place}" for place in range(60)], task)
    move(server, "task_runs", task, "COMPLETED")
    return task


def write(server: RunningServer, run: str, messages: list[str], task: str | None = None) -> None:
    begin = datetime.now(UTC)
    lines = [
        {
            "name": "orion.runs",
            "level": 20,
            "message": message,
            "timestamp": (begin + timedelta(microseconds=place)).isoformat(),
            "flow_run_id": run,
            "task_run_id": task,
        }
        for place, message in enumerate(messages)
    ]
    server.request("POST", "/api/logs/", json.dumps(lines).encode(), {"Content-Type": "application/json"})


@pytest.fixture
def page(chromium: Browser, house: House) -> Iterator[Page]:
    address = f"http://127.0.0.1:{house.server.port}"
    with chromium.new_context(base_url=address, viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda line: complaints.append(line.text) if line.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        assert complaints == []


def test_a_bar_leads_to_its_lines_and_a_line_to_its_row(page: Page, house: House):
    page.goto(f"/runs/{house.run}?tab=timeline")
    expect(page.locator("#live-control")).to_have_attribute("data-state", "live", timeout=PATIENCE)

    page.locator(f"#row-{house.tasks[1]} rect.work").click()

    here = page.locator("#live-beside li.here")
    expect(here).to_contain_text("load-0 line 0", timeout=PATIENCE)
    expect(page.locator("#live-beside li.marked")).to_have_count(60)
    expect(page.locator(f"#row-{house.tasks[1]}")).to_have_class("chosen")
    assert f"log={house.tasks[1]}" in page.url

    page.locator("#live-beside li", has_text="extract-0 line 59").locator(".text").click()

    expect(page.locator(f"#row-{house.tasks[0]}")).to_have_class("chosen")
    expect(page.locator(f"#row-{house.tasks[0]}")).to_be_in_viewport()


def test_of_two_quick_choices_the_later_one_is_shown(page: Page, house: House):
    held: list[Route] = []
    page.route(re.compile("log=.*_f="), lambda one: held.append(one))
    for order in (1, -1):
        held.clear()
        page.goto(f"/runs/{house.run}?tab=timeline")
        expect(page.locator("#live-control")).to_have_attribute("data-state", "live", timeout=PATIENCE)
        for task in house.tasks:
            with page.expect_request(re.compile("log=.*_f=")):
                page.locator(f"#row-{task} rect.work").click()

        for one in held[::order]:
            with page.expect_response(re.compile("log=.*_f=")) as answer:
                one.continue_()
            answer.value.finished()
            page.wait_for_timeout(200)

        assert len(held) == 2
        expect(page.locator("#live-beside li.here")).to_contain_text("load-0 line 0", timeout=PATIENCE)


def test_a_chosen_log_stays_when_the_rest_of_the_page_changes(page: Page, house: House):
    run = post(house.server, "/flow_runs/", flow_id=post(house.server, "/flows/", name="etl")["id"])["id"]
    move(house.server, "flow_runs", run, "RUNNING")
    first, _ = (make_task(house.server, run, name) for name in ("first-0", "then-0"))
    # More lines than the log beside the timeline shows, so that it does not follow the end.
    write(house.server, run, [f"line {place}" for place in range(500)])
    page.goto(f"/runs/{run}?tab=timeline")
    expect(page.locator("#live-control")).to_have_attribute("data-state", "live", timeout=PATIENCE)
    page.locator(f"#row-{first} rect.work").click()
    expect(page.locator("#live-beside li.here")).to_contain_text("first-0 line 0", timeout=PATIENCE)

    page.keyboard.press(".")
    write(house.server, run, ["the last line"])
    move(house.server, "flow_runs", run, "COMPLETED")
    page.keyboard.press(".")

    expect(page.locator("#live-head")).to_contain_text("Completed", timeout=PATIENCE)
    page.wait_for_timeout(500)
    expect(page.locator("#live-beside li.here")).to_contain_text("first-0 line 0")


def test_words_are_found_and_a_line_is_entered_among_its_neighbours(page: Page, house: House):
    page.goto(f"/runs/{house.run}?tab=logs")
    page.get_by_label("Words").fill("LOAD-0 line 30")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("ol.log mark")).to_have_text("load-0 line 30")

    page.locator("ol.log a.at").click()

    expect(page.locator("ol.log .here")).to_be_in_viewport()
    expect(page.locator("ol.log")).to_contain_text("load-0 line 29")
    assert re.search(r"at=.*#line-", page.url)


def test_a_followed_log_scrolls_and_one_that_is_read_stays(page: Page, house: House):
    write(house.server, house.moving, [f"first {place}" for place in range(100)])
    page.goto(f"/runs/{house.moving}?tab=logs")
    expect(page.locator("#live-control")).to_have_attribute("data-state", "live", timeout=PATIENCE)
    button = page.locator("[data-log-follow]")
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    expect(button).to_have_text("Following")

    write(house.server, house.moving, ["a line while it is followed"])
    expect(page.locator("ol.log li", has_text="a line while it is followed")).to_be_in_viewport(timeout=PATIENCE)

    page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    expect(button).to_have_text("Follow")
    write(house.server, house.moving, ["a line while something else is read"])
    expect(page.get_by_role("button", name="1 new line: show")).to_be_visible(timeout=PATIENCE)
    assert page.evaluate("scrollY") == 0


def test_a_page_never_holds_more_than_two_thousand_lines(page: Page, house: House):
    write(house.server, house.moving, [f"before {place}" for place in range(500)])
    page.goto(f"/runs/{house.moving}?tab=logs")
    expect(page.locator("#live-control")).to_have_attribute("data-state", "live", timeout=PATIENCE)

    for number in range(4):
        write(house.server, house.moving, [f"flood {number} {place}" for place in range(500)])

    show = page.get_by_role("button", name=re.compile(r"\+ new lines: show"))
    # A part that is slow to make is asked for less often.
    expect(show).to_be_visible(timeout=4 * PATIENCE)
    assert page.evaluate(ROWS) <= 2000
    show.click()
    expect(page.locator("ol.log li").last).to_contain_text("flood 3 499", timeout=PATIENCE)
