"""Names and numbers at their edges in a browser: pages stay as wide as the screen, and bounded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.houses import House, extreme_server, is_page

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.everywhere, pytest.mark.timeout(1800)]

WIDTHS = [320, 390, 768, 1200, 1440]


@pytest.fixture(scope="module")
def extreme_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with extreme_server(tmp_path_factory.mktemp("extreme")) as house:
        yield house


def test_names_of_any_length_stay_within_the_page(chromium: Browser, extreme_house: House):
    wide: list[str] = []

    with chromium.new_context(base_url=extreme_house.address) as context:
        page = context.new_page()
        for name, path in extreme_house.pages.items():
            if not is_page(context, path):
                continue
            page.goto(path)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 800})
                if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
                    wide.append(f"{name} at {width}")

    assert wide == []


def test_ten_thousand_tags_are_counted_and_not_all_shown(chromium: Browser, extreme_house: House):
    with chromium.new_context(base_url=extreme_house.address) as context:
        page = context.new_page()
        page.goto(extreme_house.pages["run-many-tags"])

        expect(page.locator(".facts .tag")).to_have_count(100)
        expect(page.locator(".facts .tags")).to_contain_text("9\u202f900 more")
        # Beside other facts they would be a column of fifty lines.
        tags, facts = page.locator(".facts .tags").bounding_box(), page.locator(".facts").bounding_box()
        assert tags is not None
        assert facts is not None
        assert tags["width"] == facts["width"]


@pytest.mark.parametrize("width", [1024, 1200, 1440])
def test_links_of_a_head_stay_on_one_line(chromium: Browser, extreme_house: House, width: int):
    with chromium.new_context(base_url=extreme_house.address, viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        page.goto(extreme_house.pages["run-arabic"])
        boxes = [one.bounding_box() for one in page.locator(".head-links a").all()]

        assert len(boxes) == 2
        assert len({box["y"] for box in boxes if box}) == 1
