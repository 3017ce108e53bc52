"""The pages by keyboard alone, on the narrowest screens and at four times the size, in few colours, without motion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.houses import House, is_page

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1800)]

WALKS = ["a few pages", pytest.param("every page", marks=pytest.mark.everywhere)]
# Pages of other projects, whose scripts make them.
FOREIGN = ("/docs", "/redoc")
# After this many tab stops, further rows of the same kind follow.
MOST_STOPS = 150
HALF_OF_THE_SCREEN = 128


@contextmanager
def looking(chromium: Browser, house: House, **options: Any) -> Iterator[Page]:
    with chromium.new_context(base_url=house.address, **options) as context:
        context.add_init_script(path=Path(__file__).with_name("everyone.js"))
        yield context.new_page()


def shown_pages(page: Page, house: House, walk: str) -> Iterator[str]:
    for path in house.paths(walk):
        if path not in FOREIGN and is_page(page.context, path):
            page.goto(path)
            yield path


@pytest.mark.parametrize(
    ("text", "walk"),
    [
        ("evil", "a few pages"),
        *(pytest.param(one, "every page", marks=pytest.mark.everywhere) for one in ("evil", "plain")),
    ],
)
def test_nothing_sticks_out_at_320_pixels_and_at_four_times_the_size(
    chromium: Browser, request: pytest.FixtureRequest, text: str, walk: str
):
    house = request.getfixturevalue(f"{text}_house")
    wide, covered = [], {}

    # The same as 1280 × 1024 pixels at 400 %: the layout sees no difference.
    with looking(chromium, house, viewport={"width": 320, "height": 256}) as page:
        for path in shown_pages(page, house, walk):
            if page.evaluate("everyone.sticksOut()"):
                wide.append(path)
            if (height := page.evaluate("everyone.covered()")) > HALF_OF_THE_SCREEN:
                covered[path] = height

    assert wide == []
    assert covered == {}


@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize("width", [390, 1440])
def test_the_keyboard_reaches_everything_and_its_focus_is_seen(
    chromium: Browser, plain_house: House, walk: str, width: int
):
    found = []

    with looking(chromium, plain_house, viewport={"width": width, "height": 800}) as page:
        for path in shown_pages(page, plain_house, walk):
            found += [f"{path}: {flaw}" for flaw in flaws_of_a_walk(page)]

    assert found == [], "\n".join(found)


def flaws_of_a_walk(page: Page) -> list[str]:
    """Go through the page by Tab."""
    number = page.evaluate("everyone.reachable()")
    flaws: list[str] = []
    reached: set[int] = set()
    # Fields of dates have several stops of their own.
    for _ in range(min(number, MOST_STOPS) + 30):
        page.keyboard.press("Tab")
        stop = page.evaluate("everyone.focused()")
        if stop is None:
            break
        reached.add(stop["number"])
        flaws += stop["wrong"]
    missing = set(range(min(number, MOST_STOPS))) - reached
    flaws += [f"{page.evaluate('(one) => everyone.outline(one)', one)} is not reached" for one in sorted(missing)]
    return list(dict.fromkeys(flaws))


@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize(
    ("what", "options"), [("moving", {"reduced_motion": "reduce"}), ("pale", {"forced_colors": "active"})]
)
def test_pages_respect_preferences_for_motion_and_colours(
    chromium: Browser, plain_house: House, walk: str, what: str, options: dict[str, Any]
):
    with looking(chromium, plain_house, **options) as page:
        found = {path: page.evaluate(f"everyone.{what}()") for path in shown_pages(page, plain_house, walk)}

    seen = [f"{path}: {marks}" for path, marks in found.items() if marks]
    assert seen == [], "\n".join(seen)
