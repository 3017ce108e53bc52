"""From the first page to what it counts, in a browser: without scripts, on phones, and by the keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Shown

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATHS = ["/", "/deployments", "/?since=-1h&tag=prod", "/runs?q=dur>x", "/runs/all/retry?state=failed"]


@pytest.fixture
def page(chromium: Browser, shown: Shown) -> Iterator[Page]:
    context = chromium.new_context(base_url=shown.address, java_script_enabled=False)
    yield context.new_page()
    context.close()


def test_from_what_needs_you_to_the_runs_it_counts_without_scripts(page: Page, shown: Shown):
    page.goto("/")
    expect(page).to_have_title(re.compile(r"\(\d+\) Needs you · Orion"))
    line = page.locator("li.need").filter(has_text="1 of 2 tasks failed")
    line.get_by_role("link", name=re.compile("1 run")).click()

    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody a.name")).to_have_attribute("href", re.compile(shown.run))


def test_what_failed_is_seen_without_scrolling(page: Page):
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/")

    expect(page.locator("li.need").first).to_be_in_viewport()


def test_an_action_on_many_runs_is_asked_about_first(page: Page):
    page.goto("/runs?state=failed")
    page.get_by_text("Change many runs…").click()
    page.get_by_role("link", name="retry").first.click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing to retry")
    expect(page.get_by_text("this run has no deployment").first).to_be_visible()
    page.get_by_role("link", name="Back to the runs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")


@pytest.mark.parametrize("width", [320, 390, 800, 1060, 1200, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_first_page_and_the_lists_fit_their_screen(chromium: Browser, shown: Shown, width: int, scheme: str):
    context = chromium.new_context(
        base_url=shown.address,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()

    wide: list[str] = []
    for path in PATHS:
        page.goto(path)
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide.append(path)
    context.close()

    assert wide == []


def test_a_second_visit_asks_for_the_page_alone(chromium: Browser, shown: Shown):
    context = chromium.new_context(base_url=shown.address)
    page = context.new_page()
    page.goto("/")
    page.wait_for_load_state("load")

    asked: list[str] = []
    page.on("requestfinished", lambda request: asked.append(request.url) if "/live" not in request.url else None)
    page.goto("/runs")
    page.wait_for_load_state("load")
    files = "performance.getEntriesByType('resource').filter((one) => one.name.includes('/static/'))"
    sizes = page.evaluate(f"{files}.map((one) => one.transferSize)")
    context.close()

    assert asked
    assert all(size == 0 for size in sizes)
