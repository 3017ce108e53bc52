"""Work, agents, limits, events, blocks and the like in a browser: they fit, and their forms work without scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Shown

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATHS = [
    "/work",
    "/work/pools/new",
    "/agents",
    "/limits",
    "/limits/tags/new",
    "/limits/global/new",
    "/events",
    "/automations",
    "/automations/new",
    "/automations/new?when=stays&do=json",
    "/notifications",
    "/notifications/new",
    "/blocks",
    "/blocks/new",
    "/variables",
    "/variables/new",
    "/artifacts",
]


@pytest.mark.parametrize("width", [320, 1440])
def test_pages_fit_their_screen_and_the_console_stays_silent(chromium: Browser, shown: Shown, width: int):
    context = chromium.new_context(base_url=shown.address, viewport={"width": width, "height": 800})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda one: complaints.append(one.text) if one.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))

    wide = []
    for path in PATHS:
        page.goto(path)
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide.append(path)
        expect(page.locator("h1")).to_have_count(1)
    context.close()

    assert wide == []
    assert complaints == []


def test_an_automation_is_made_without_scripts(chromium: Browser, shown: Shown):
    context = chromium.new_context(base_url=shown.address, java_script_enabled=False)
    page = context.new_page()
    page.goto("/automations")
    page.get_by_role("link", name="New automation").first.click()
    page.get_by_label("A flow run stays in a state for too long").check()
    page.get_by_label("Cancel the flow run").check()
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Name").fill("no run of two hours")
    page.get_by_label("Failed").uncheck()
    page.get_by_label("Crashed").uncheck()
    page.get_by_label("Running").check()
    page.get_by_label("For more than this many seconds").fill("7200")
    page.get_by_role("button", name="Create automation").click()

    expect(page.get_by_text("no flow-run.* occurs within 2h after flow-run.Running")).to_be_visible()
    page.get_by_text("Delete…").click()
    page.get_by_role("button", name="Delete this automation").click()
    expect(page.get_by_role("status").first).to_have_text("The automation was deleted.")
    context.close()
