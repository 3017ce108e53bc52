"""A first visit, with nothing kept: how many requests a page makes, and how much script it is given."""

from __future__ import annotations

import gzip

import pytest
from playwright.sync_api import Browser, Response

from tests.browser.houses import House, is_page

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1800)]

MOST_REQUESTS = 7
# Bytes of compressed scripts.
MOST_SCRIPT, MOST_SCRIPT_OF_A_RUN = 35_000, 60_000
# Pages of other projects, and those of Django's admin with its own scripts.
FOREIGN = ("/docs", "/redoc", "/admin/")


@pytest.mark.parametrize("walk", ["a few pages", pytest.param("every page", marks=pytest.mark.everywhere)])
def test_a_first_visit_asks_for_little(chromium: Browser, plain_house: House, walk: str):
    heavy = {}

    for path in dict.fromkeys(plain_house.paths(walk)):
        if path.startswith(FOREIGN):
            continue
        requests, script = first_visit(chromium, plain_house, path)
        most = MOST_SCRIPT_OF_A_RUN if path.startswith(plain_house.pages["runs:run"]) else MOST_SCRIPT
        if requests > MOST_REQUESTS or script > most:
            heavy[path] = requests, script

    assert heavy == {}


def first_visit(chromium: Browser, house: House, path: str) -> tuple[int, int]:
    """The number of requests, and the bytes of scripts; parts that follow what they show are asked for later."""
    answers: list[Response] = []
    with chromium.new_context(base_url=house.address, viewport={"width": 1440, "height": 900}) as context:
        if not is_page(context, path):
            return 0, 0
        page = context.new_page()
        page.on("response", lambda one: answers.append(one))
        page.goto(path, wait_until="load")
        first = [one for one in answers if "_f=" not in one.url]
        scripts = [one.body() for one in first if one.request.resource_type == "script"]
    return len(first), sum(len(gzip.compress(one)) for one in scripts)
