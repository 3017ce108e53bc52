"""The pages in a browser: nothing sticks out, nothing complains, and the main actions can be reached and done."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Shown

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDTHS = [320, 390, 768, 1024, 1440]
SCREENS = [(width, scheme) for width in WIDTHS for scheme in ("light", "dark")]
BRIEFLY = [(320, "dark")]
PATHS = [
    "/runs",
    "/runs?state=failed&tag=prod",
    "/runs/{run}",
    "/runs/{run}?tab=logs",
    "/runs/{run}?tab=history",
    "/runs/{run}?tab=parameters",
    "/task-runs/{task_run}",
    "/flows",
    "/flows/{flow}",
    "/status",
    "/admin/runs/flowrun/",
]


@pytest.fixture
def page(chromium: Browser, shown: Shown) -> Iterator[Page]:
    context = chromium.new_context(base_url=shown.address, java_script_enabled=False)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(
    ("width", "scheme"), [pytest.param(*one, marks=[pytest.mark.short] if one in BRIEFLY else []) for one in SCREENS]
)
def test_pages_fit_their_screen_and_the_console_stays_silent(chromium: Browser, shown: Shown, width: int, scheme: str):
    context = chromium.new_context(
        base_url=shown.address,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))

    wide: list[str] = []
    for path in PATHS:
        page.goto(path.format(run=shown.run, task_run=shown.task_run, flow=shown.flow))
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide.append(path)
    context.close()

    assert wide == []
    assert complaints == []


@pytest.mark.short
def test_from_the_list_to_the_reason_of_a_failure_without_scripts(page: Page, shown: Shown):
    page.goto("/runs")
    page.locator("select[name=state]").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    page.locator("tbody a.name").first.click()
    page.get_by_role("link", name="History", exact=True).click()

    expect(page.get_by_text("1 of 2 tasks failed").first).to_be_visible()
    assert page.url.endswith(f"/runs/{shown.run}?tab=history")


def test_the_keyboard_reaches_the_content_first(page: Page):
    page.goto("/runs")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.url.endswith("#main")


@pytest.mark.parametrize("tab", ["Timeline", "Results", "Artifacts"])
def test_the_tab_that_is_shown_can_be_seen_on_a_phone(chromium: Browser, shown: Shown, tab: str):
    with chromium.new_context(base_url=shown.address, viewport={"width": 390, "height": 800}) as context:
        page = context.new_page()
        page.goto(f"/runs/{shown.run}?tab={tab.lower()}")
        box = page.locator(".tabs").get_by_role("link", name=tab).bounding_box()

        assert box is not None
        assert 0 <= box["x"] < box["x"] + box["width"] <= 390
        # Only the tabs are scrolled.
        assert page.evaluate("scrollY") == 0


@pytest.mark.short
def test_a_deletion_is_confirmed_before_and_after(page: Page, shown: Shown):
    page.goto("/runs?state=running")
    page.locator("tbody a.name").first.click()
    expect(page.get_by_role("button", name="Delete this run")).to_be_hidden()
    page.get_by_text("Delete…").click()
    page.get_by_role("button", name="Delete this run").click()

    expect(page.get_by_role("status")).to_have_text("The run was deleted.")


def test_moments_are_shown_in_the_readers_zone(chromium: Browser, shown: Shown):
    context = chromium.new_context(base_url=shown.address, timezone_id="Asia/Kolkata", locale="en-GB")
    page = context.new_page()

    page.goto(f"/runs/{shown.run}")
    started = page.locator("dl.facts time").first
    exact, local = started.get_attribute("title"), started.inner_text()
    page.goto(f"/runs/{shown.run}?tab=logs")
    day = page.locator("ol.log .day").first.inner_text()
    context.close()

    assert exact is not None
    in_utc = datetime.strptime(exact, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    in_zone = in_utc.astimezone(ZoneInfo("Asia/Kolkata"))
    assert local == f"{in_zone:%Y-%m-%d %H:%M:%S} GMT+5:30"
    assert day.endswith("GMT+5:30")


def test_a_page_of_the_api_shows_its_answer_and_sends_bodies(chromium: Browser, shown: Shown):
    context = chromium.new_context(base_url=shown.address)
    page = context.new_page()
    page.goto(f"/api/flows/{shown.flow}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Read flow")
    expect(page.get_by_label("Answer")).to_contain_text("a-flow-with-quite-a-long-name")

    page.goto("/api/flows/filter")
    expect(page.get_by_role("heading", name="405")).to_be_visible()
    page.get_by_label("Content").fill('{"limit": "many"}')
    page.get_by_role("button", name="POST").click()
    expect(page.get_by_role("heading", name="422")).to_be_focused()
    page.get_by_label("Content").fill('{"limit": 1}')
    page.get_by_role("button", name="POST").click()

    expect(page.get_by_role("heading", name="200 OK")).to_be_focused()
    expect(page.get_by_label("Answer")).to_contain_text(shown.flow)
    context.close()
