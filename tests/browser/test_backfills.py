"""Backfills, calendars and new deployments in a browser, without scripts: they fit, and what is done there works."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Shown

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ICS = "\r\n".join(
    [
        *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", "BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z"),
        *("DTSTART;VALUE=DATE:20991224", "SUMMARY:Christmas Eve", "END:VEVENT", "END:VCALENDAR", ""),
    ]
)


@pytest.fixture
def page(chromium: Browser, shown: Shown) -> Iterator[Page]:
    context = chromium.new_context(
        base_url=shown.address, java_script_enabled=False, viewport={"width": 320, "height": 700}
    )
    page = context.new_page()
    yield page
    context.close()


def fits(page: Page) -> bool:
    body = page.locator("body").bounding_box()
    return body is not None and body["width"] <= 320


def test_a_stretch_of_the_past_is_previewed_run_and_cancelled(page: Page, shown: Shown):
    asked = json.dumps({"name": "to-backfill", "flow_id": shown.flow, "work_queue_name": "default"})
    made = page.request.post("/api/deployments/", headers={"Content-Type": "application/json"}, data=asked).json()
    page.goto(f"/deployments/{made['id']}")
    page.get_by_role("link", name="Backfill…").click()
    page.locator("#id_start").fill("2026-01-01T00:00")
    page.locator("#id_end").fill("2026-01-03T00:00")
    page.locator("#id_times").select_option("interval")
    page.locator("#id_every").fill("1")
    page.locator("#id_name").fill("new-year")

    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview")).to_contain_text("3 runs")
    assert fits(page)
    page.get_by_role("button", name="Start backfill").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("new-year")
    assert fits(page)
    page.get_by_text("Cancel…").click()
    page.get_by_role("button", name="Cancel this backfill").click()

    expect(page.locator(".title-line .state-word")).to_have_text("Cancelled")


def test_a_calendar_is_uploaded_and_deleted(page: Page):
    page.goto("/schedule")
    page.get_by_role("link", name="Calendars").click()
    page.get_by_role("link", name="New calendar").click()
    page.locator("#id_file").set_input_files(
        {"name": "holidays.ics", "mimeType": "text/calendar", "buffer": ICS.encode()}
    )
    page.get_by_role("button", name="Create calendar").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("holidays")
    expect(page.locator(".calendar-events")).to_contain_text("Thu 24 Dec 2099 Christmas Eve")
    assert fits(page)
    page.get_by_text("Delete…").click()
    page.get_by_role("button", name="Delete this calendar").click()
    expect(page.get_by_role("heading", name="No calendars yet")).to_be_visible()


def test_a_new_deployment_without_an_agent_explains_how_to_start_one(page: Page):
    page.goto("/deployments")
    page.get_by_role("link", name="New deployment").first.click()
    page.locator("#id_address").fill("https://git.example/team/flows.git")
    page.get_by_role("button", name="Find flows").click()

    expect(page.get_by_role("heading", name="No agent serves this queue")).to_be_visible()
    expect(page.locator(".copy code")).to_contain_text("orion agent start -q default")
    assert fits(page)
