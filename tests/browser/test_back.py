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
