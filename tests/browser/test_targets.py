"""The limits of the dashboard that are numbers and do not depend on the speed of the machine.

The page of the documentation about the dashboard lists them, with what was measured.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.houses import House, planned_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MOST_REQUESTS, MOST_REQUESTS_AT_FIRST = 2, 7
MOST_BYTES, MOST_BYTES_OF_HOME = 10_000, 25_000
MOST_HEAP = 6_000_000
MOST_STOPS = 3
# None in three decimals: the last row may be painted before all of it has arrived, and grow by some pixels then.
MOST_SHIFT = 0.0005
PAGES = {
    "home": "/",
    "runs": "/runs",
    "run": "/runs/{run}",
    "log": "/runs/{run}?tab=logs",
    "graph": "/runs/{run}?tab=graph",
    "task runs": "/task-runs",
    "flow": "/flows/{flow}",
    "deployments": "/deployments",
    "deployment": "/deployments/{deployment}",
    "schedule": "/schedule",
    "work": "/work",
    "agents": "/agents",
    "settings": "/settings",
}
SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) {
    const moved = one.sources.map(({ node, previousRect: from, currentRect: to }) =>
      `${(node?.outerHTML ?? node?.textContent ?? "").slice(0, 80)} ${from.x},${from.y} -> ${to.x},${to.y}`);
    if (!one.hadRecentInput) window.shifts.push([one.value, ...moved]);
  }
}).observe({ type: "layout-shift", buffered: true });"""
# The frame in which a shift is noticed comes after the one in which it occurred.
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
FOCUSED = "document.activeElement.innerText"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with planned_server(tmp_path_factory.mktemp("planned")) as house:
        yield house


@contextmanager
def opened(chromium: Browser, house: House, path: str, width: int = 1440) -> Iterator[Page]:
    """The page, as soon as it follows what it shows."""
    with chromium.new_context(base_url=house.address, viewport={"width": width, "height": 844}) as context:
        context.add_init_script(SHIFTS)
        page = context.new_page()
        show(page, path.format(**house.pages))
        yield page


def show(page: Page, path: str) -> None:
    page.goto(path, wait_until="load")
    if page.locator("[data-live]").count():
        expect(page.locator("#live-control")).to_have_attribute("data-state", "live")


@pytest.mark.parametrize("width", [390, 1440])
def test_failed_waiting_and_running_runs_are_visible_without_scrolling(chromium: Browser, house: House, width: int):
    with opened(chromium, house, "/", width) as page:
        needs = page.locator("li.need")
        expect(needs.filter(has_text="KeyError")).to_be_in_viewport(ratio=1)
        expect(needs.filter(has_text="1 run waits")).to_be_in_viewport(ratio=1)
        expect(page.locator(".rates div:has(dt:text-is('Running')) a")).to_be_in_viewport(ratio=1)


def test_the_first_page_is_light(chromium: Browser, house: House):
    with opened(chromium, house, "/") as page:
        html = page.request.get("/").body()

    assert len(gzip.compress(html)) <= MOST_BYTES_OF_HOME


def test_the_first_page_asks_for_little_and_for_hardly_anything_again(chromium: Browser, house: House):
    with chromium.new_context(base_url=house.address) as context:
        page = context.new_page()
        first = sent_for(page, "/")
        again = sent_for(page, "/")

    assert len(first) <= MOST_REQUESTS_AT_FIRST, first
    assert len(again) <= MOST_REQUESTS, again
    assert sum(again.values()) <= MOST_BYTES, again


def sent_for(page: Page, path: str) -> dict[str, int]:
    """The bytes on the wire by address, without what the browser kept and what an open page asks for later."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    addresses: dict[str, str] = {}
    kept: set[str] = set()
    sent: dict[str, int] = {}

    def on_response(event: Any) -> None:
        addresses[event["requestId"]] = event["response"]["url"]
        if event["response"].get("fromDiskCache"):
            kept.add(event["requestId"])

    def on_finish(event: Any) -> None:
        sent[event["requestId"]] = int(event["encodedDataLength"])

    session.on("Network.responseReceived", on_response)
    session.on("Network.requestServedFromCache", lambda event: kept.add(event["requestId"]))
    session.on("Network.loadingFinished", on_finish)
    show(page, path)
    session.detach()
    return {
        addresses[one]: size for one, size in sent.items() if one not in kept and "_f=" not in addresses.get(one, "_f=")
    }


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_on_a_page_moves_while_it_comes(chromium: Browser, house: House, width: int):
    moved = {}

    for name, path in PAGES.items():
        with opened(chromium, house, path, width) as page:
            page.evaluate(TWO_FRAMES)
            shifts = page.evaluate("window.shifts")
            if sum(value for value, *_ in shifts) > MOST_SHIFT:
                moved[name] = shifts

    assert moved == {}


@pytest.mark.parametrize(
    ("path", "link", "wanted"),
    [
        ("/", "Skip to what needs you", "1 run"),
        ("/runs?state=failed", "Skip to the runs", "it-failed"),
        ("/runs/{run}", "Skip to the actions", "Retry"),
        ("/deployments", "Skip to the deployments", "hourly-0"),
    ],
)
def test_a_few_stops_after_its_skip_link_the_keyboard_is_at_what_matters(
    chromium: Browser, house: House, path: str, link: str, wanted: str
):
    with opened(chromium, house, path) as page:
        # The first stop skips the menu, and the second one what is above the content.
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUSED) == link
        page.keyboard.press("Enter")
        passed = []
        while not passed or (wanted not in passed[-1] and len(passed) < MOST_STOPS):
            page.keyboard.press("Tab")
            passed.append(page.evaluate(FOCUSED))

    assert wanted in passed[-1], passed


@pytest.mark.parametrize("name", ["home", "runs", "run"])
def test_an_open_page_needs_little_memory(chromium: Browser, house: House, name: str):
    with opened(chromium, house, PAGES[name]) as page:
        session = page.context.new_cdp_session(page)
        session.send("HeapProfiler.collectGarbage")
        used = session.send("Runtime.getHeapUsage")["usedSize"]

    assert used <= MOST_HEAP
