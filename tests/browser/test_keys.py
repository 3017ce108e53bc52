"""The command palette and the keys, with the keyboard alone; preferences; and how much a first visit loads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Shown

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def page(chromium: Browser, shown: Shown) -> Iterator[Page]:
    context = chromium.new_context(base_url=shown.address, viewport={"width": 1440, "height": 900})
    yield context.new_page()
    context.close()


def test_the_palette_finds_a_flow_and_opens_it(page: Page, shown: Shown):
    page.goto("/runs")
    page.keyboard.press("Control+k")
    box = page.get_by_role("combobox", name="Name, id, address or line of a log")
    expect(box).to_be_focused()
    page.keyboard.type("quite-a-long")
    # Deployments of the flow contain its name, too.
    found = page.get_by_role("dialog").locator(f"[role=option][data-href='/flows/{shown.flow}']")
    expect(found).to_contain_text("a-flow-with-quite-a-long-name")
    assert box.get_attribute("aria-activedescendant") == "option-1"

    while found.get_attribute("aria-selected") != "true":
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")

    page.wait_for_url(f"**/flows/{shown.flow}")


def test_what_is_pasted_opens_at_once(page: Page, shown: Shown):
    page.goto("/")
    page.keyboard.press("Control+k")
    page.get_by_role("dialog").get_by_role("combobox").fill(f"flow run {shown.run} has failed")

    page.keyboard.press("Enter")

    page.wait_for_url(f"**/runs/{shown.run}")


def running_run(page: Page) -> str:
    """The id of a run of this test's own."""
    flow = page.request.post("/api/flows/", data={"name": "keys"}).json()["id"]
    run: str = page.request.post("/api/flow_runs/", data={"flow_id": flow}).json()["id"]
    page.request.post(f"/api/flow_runs/{run}/set_state", data={"state": {"type": "RUNNING"}})
    return run


def test_an_action_on_the_run_that_is_shown_is_done_from_the_palette(page: Page):
    page.goto(f"/runs/{running_run(page)}")
    expect(page.get_by_role("button", name="Cancel run")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_role("dialog").get_by_role("option").first).to_contain_text("Cancel this run")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("dialog").get_by_role("option", selected=True)).not_to_contain_text("Cancel this run")
    page.keyboard.press("ArrowUp")

    page.keyboard.press("Enter")

    expect(page.get_by_role("status").first).to_contain_text("The run is")


def test_escape_closes_the_palette_and_the_focus_is_where_it_was(page: Page):
    page.goto("/runs")
    link = page.locator("tbody a.name").first
    link.focus()
    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog")).to_be_visible()

    page.keyboard.press("Escape")

    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(link).to_be_focused()


def test_keys_walk_rows_open_pages_and_are_listed(page: Page):
    for _ in range(2):
        running_run(page)
    page.goto("/runs")
    links = page.locator("tbody a.name")
    page.keyboard.press("j")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("g d")
    page.keyboard.press("Escape")

    page.keyboard.press("g")
    page.keyboard.press("d")

    page.wait_for_url("**/deployments")


def test_keys_of_a_run_lead_to_its_neighbour_and_shift_ticks_a_range(page: Page):
    first, second, third = (running_run(page) for _ in range(3))
    page.goto(f"/runs/{second}")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("The next run of its flow")
    page.keyboard.press("Escape")

    page.keyboard.press("]")
    page.wait_for_url(f"**/runs/{third}")
    page.keyboard.press("[")
    page.wait_for_url(f"**/runs/{second}")
    page.keyboard.press("l")
    page.wait_for_url("**?tab=logs")
    page.goto("/runs")
    for key in ("j", "x", "j", "j", "Shift+X"):
        page.keyboard.press(key)

    ticked = [box.is_checked() for box in page.locator("tbody input[form=many]").all()]
    assert ticked[:3] == [True] * 3
    assert not any(ticked[3:])
    assert first != third


def test_the_key_of_retry_leads_to_its_button_and_enter_presses_it(page: Page):
    flow = page.request.post("/api/flows/", data={"name": "keys"}).json()["id"]
    made = page.request.post("/api/deployments/", data={"name": "retried", "flow_id": flow}).json()["id"]
    run = page.request.post(f"/api/deployments/{made}/create_flow_run", data={}).json()["id"]
    for state in ("PENDING", "RUNNING", "FAILED"):
        page.request.post(f"/api/flow_runs/{run}/set_state", data={"state": {"type": state}})
    page.goto(f"/runs/{run}")

    page.keyboard.press("e")
    expect(page.get_by_role("button", name="Retry", exact=True)).to_be_focused()
    assert page.request.get(f"/api/flow_runs/{run}").json()["state_type"] == "FAILED"
    page.keyboard.press("Enter")

    expect(page.get_by_role("status").first).to_contain_text("will be tried again")


def test_keys_are_text_in_a_field_and_nothing_when_they_are_off(page: Page):
    page.goto("/runs")
    field = page.get_by_role("searchbox", name="Query")
    field.focus()
    page.keyboard.type("g d j ? /")
    expect(field).to_have_value("g d j ? /")
    page.goto("/settings")
    page.get_by_label("Single keys do something").uncheck()
    page.get_by_role("button", name="Save").click()

    page.goto("/runs")
    for key in "j?/":
        page.keyboard.press(key)

    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("document.activeElement === document.body")


def test_a_theme_and_a_zone_are_there_before_anything_is_drawn(page: Page, shown: Shown):
    page.goto("/settings")
    page.get_by_label("Dark").check()
    page.get_by_label("Time zone").select_option("Asia/Kolkata")
    page.get_by_role("button", name="Save").click()
    page.goto(f"/runs/{shown.run}")

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 22)"
    expect(page.locator("dl.facts time").first).to_contain_text("IST")
    page.get_by_role("button", name="Times: UTC").click()
    expect(page.locator("dl.facts time").first).to_contain_text("UTC")


def test_a_first_visit_is_seven_requests(page: Page):
    seen: set[str] = set()
    # A part that is asked for again belongs to a change of a run, not to the visit.
    page.on("request", lambda one: seen.add(one.url) if "_f=" not in one.url else None)

    page.goto("/runs", wait_until="networkidle")

    assert len(seen) <= 7, seen
