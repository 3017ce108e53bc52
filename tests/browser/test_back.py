"""Back brings a list to what it was: its filter, where it was scrolled to, and what was chosen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.houses import House

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("scripts", [True, False])
def test_back_restores_filter_scroll_and_what_was_opened(chromium: Browser, plain_house: House, scripts: bool):
    context = chromium.new_context(
        base_url=plain_house.address, java_script_enabled=scripts, viewport={"width": 390, "height": 320}
    )
    page = context.new_page()
    page.goto("/runs")
    page.locator("select[name=since]").select_option("-7d")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.locator("select[name=since]")).to_have_value("-7d")
    address = page.url
    row = page.locator("tbody tr .name").last
    row.scroll_into_view_if_needed()
    place = page.evaluate("scrollY") if scripts else None

    row.click()
    expect(page.get_by_role("navigation", name="Breadcrumb").or_(page.locator(".crumbs")).first).to_be_visible()
    page.go_back()

    assert page.url == address
    expect(page.locator("select[name=since]")).to_have_value("-7d")
    expect(row).to_be_in_viewport()
    if scripts:
        assert place
        assert abs(page.evaluate("scrollY") - place) < 120
    context.close()


def test_back_restores_the_rows_that_were_chosen(chromium: Browser, plain_house: House):
    # Without scripts no box is ticked again: browsers restore ticks by the position of rows, which may have changed.
    page = chromium.new_page(base_url=plain_house.address)
    page.goto("/runs")
    boxes = page.get_by_role("checkbox")
    boxes.nth(1).check()

    page.get_by_role("button", name="Delete the chosen").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Delete 1 run?")
    page.go_back()

    expect(boxes.nth(1)).to_be_checked()
    expect(boxes.nth(0)).not_to_be_checked()
    expect(page.get_by_text("The 1 chosen")).to_be_visible()
    page.close()


def test_a_page_opened_by_a_link_has_no_selection(chromium: Browser, plain_house: House):
    page = chromium.new_page(base_url=plain_house.address)
    page.goto("/runs")
    page.get_by_role("checkbox").first.check()
    page.goto("/flows")
    page.goto("/runs")

    expect(page.get_by_role("checkbox").first).not_to_be_checked()
    page.close()
