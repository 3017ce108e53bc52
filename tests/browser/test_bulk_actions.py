"""A bulk action in a browser, without scripts: what is shown is deleted, and what came of each run is kept."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Shown

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_runs_are_deleted_after_a_page_that_lists_them(chromium: Browser, shown: Shown):
    context = chromium.new_context(
        base_url=shown.address, java_script_enabled=False, viewport={"width": 320, "height": 700}
    )
    page = context.new_page()
    for name in ("doomed-one", "doomed-two"):
        asked = json.dumps({"name": name, "flow_id": shown.flow, "tags": ["doomed"], "state": {"type": "RUNNING"}})
        page.request.post("/api/flow_runs/", headers={"Content-Type": "application/json"}, data=asked)
    page.goto("/runs?tag=doomed")

    page.get_by_text("Change many runs…").click()
    page.get_by_role("link", name="delete").first.click()
    expect(page.get_by_role("heading", name="Delete 2 runs?")).to_be_visible()
    page.get_by_role("button", name="Delete 2 runs").click()

    expect(page.get_by_text("2 runs were deleted.")).to_be_visible()
    page.get_by_role("link", name="What came of each").click()
    expect(page.get_by_role("heading", name="Delete 2 runs")).to_be_visible()
    expect(page.get_by_text("doomed-one")).to_be_visible()
    body = page.locator("body").bounding_box()
    assert body is not None
    assert body["width"] <= 320
    context.close()
