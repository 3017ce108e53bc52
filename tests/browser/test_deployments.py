"""Deployments in a browser: they fit their screen, and what is done there works with scripts and without."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Shown
from tests.browser.test_pages import SCREENS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "default": "north"},
        "limit": {"type": "integer", "default": 5},
        "tables": {"type": "array", "items": {"type": "string"}},
    },
}


@pytest.fixture(scope="module")
def deployment(chromium: Browser, shown: Shown) -> str:
    context = chromium.new_context(base_url=shown.address)
    answer = context.request.post(
        "/api/deployments/",
        headers={"Content-Type": "application/json"},
        data=json.dumps(
            {
                "name": "a-deployment-with-quite-a-long-name",
                "flow_id": shown.flow,
                "parameter_openapi_schema": SCHEMA,
                "enforce_parameter_schema": True,
                "work_queue_name": "default",
                "description": "Counts **people**.",
                "schedules": [{"schedule": {"cron": "30 1 * * *", "timezone": "Europe/Berlin"}}],
            }
        ),
    )
    made: str = answer.json()["id"]
    context.close()
    return made


@pytest.fixture
def page(chromium: Browser, shown: Shown) -> Iterator[Page]:
    context = chromium.new_context(base_url=shown.address, java_script_enabled=False)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [one for one in SCREENS if one[0] in (320, 1440)])
def test_pages_fit_their_screen_and_the_console_stays_silent(
    chromium: Browser, shown: Shown, deployment: str, width: int, scheme: str
):
    context = chromium.new_context(
        base_url=shown.address,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda one: complaints.append(one.text) if one.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))

    wide: list[str] = []
    own = f"/deployments/{deployment}"
    tabs = [f"{own}?tab={tab}" for tab in ("runs", "upcoming", "schedules", "parameters")]
    for path in ("/deployments", own, *tabs, f"{own}/run", f"{own}/schedules/new", f"{own}/edit", "/schedule"):
        page.goto(path)
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide.append(path)
    context.close()

    assert wide == []
    assert complaints == []


def test_a_deployment_is_paused_and_resumed_in_its_row_without_scripts(page: Page, deployment: str):
    page.goto("/deployments")
    row = page.get_by_role("row").filter(has_text="a-deployment-with-quite-a-long-name")
    row.get_by_role("button", name="Active").click()
    expect(row.get_by_role("button", name="Paused")).to_be_visible()

    row.get_by_role("button", name="Paused").click()

    expect(row.get_by_role("button", name="Active")).to_be_visible()


def test_a_run_with_other_parameters_is_made_without_scripts(page: Page, deployment: str):
    page.goto("/deployments")
    row = page.get_by_role("row").filter(has_text="a-deployment-with-quite-a-long-name")
    row.get_by_role("link", name="Run with…").click()
    page.get_by_label("limit").fill("many")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("'many' is not a whole number.")).to_be_visible()

    page.get_by_label("limit").fill("7")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("link", name="Parameters").click()

    expect(page.get_by_text("7", exact=True)).to_be_visible()


def test_a_double_click_sends_a_form_once_and_back_lets_it_be_sent_again(
    chromium: Browser, shown: Shown, deployment: str
):
    page = chromium.new_page(base_url=shown.address)
    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.url) if one.method == "POST" else None)
    page.goto(f"/deployments/{deployment}/run")

    page.get_by_role("button", name="Run", exact=True).dblclick()
    page.wait_for_url("**/runs/*")
    once = list(sent)
    page.go_back()
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url("**/runs/*")
    page.close()

    assert len(once) == 1
    assert len(sent) == 2


def test_the_next_times_follow_what_is_typed(chromium: Browser, shown: Shown, deployment: str):
    context = chromium.new_context(base_url=shown.address)
    page = context.new_page()
    page.goto(f"/deployments/{deployment}/schedules/new")

    page.get_by_label("Cron").fill("0 6 * * 1-5")
    expect(page.get_by_text("at 06:00 on Monday through Friday, UTC")).to_be_visible()
    page.get_by_label("Cron").fill("0 66 * * *")
    expect(page.locator("#preview .wrong")).to_be_visible()

    context.close()
