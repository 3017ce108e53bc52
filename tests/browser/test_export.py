"""A run's file in a browser without a server: it shows everything, asks for nothing, and keeps the rules of axe."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Shown
from tests.browser.test_every_page import AXE, broken_rules

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def file(shown: Shown, tmp_path: Path) -> Path:
    answer = requests.get(f"{shown.address}/api/flow_runs/{shown.run}/export", timeout=30)
    assert answer.status_code == 200
    path = tmp_path / "run.html"
    path.write_bytes(answer.content)
    return path


def opened(chromium: Browser, file: Path, width: int, scheme: str) -> tuple[Page, list[str]]:
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    messages: list[str] = []
    page.on("console", lambda one: messages.append(one.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith(file.as_uri()) else messages.append(one.url))
    page.goto(file.as_uri())
    return page, messages


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1440, "dark"), (320, "light")])
def test_the_file_shows_the_run_and_asks_for_nothing(chromium: Browser, file: Path, width: int, scheme: str):
    page, messages = opened(chromium, file, width, scheme)

    expect(page.locator("h1")).to_have_count(1)
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("getComputedStyle(document.querySelector('.facts')).display") != "block"
    assert messages == []
    page.context.close()


@pytest.mark.skipif(not AXE, reason="AXE_CORE is not set")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_file_keeps_the_rules_of_axe(chromium: Browser, file: Path, scheme: str):
    # The file allows no script; a page that embeds it is not under its policy, and can inspect it.
    context = chromium.new_context(viewport={"width": 390, "height": 900}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(file.as_uri())

    assert broken_rules(page) == []
    context.close()


def test_the_run_page_offers_its_file(chromium: Browser, shown: Shown):
    page = chromium.new_page()
    page.goto(f"{shown.address}/runs/{shown.run}")

    with page.expect_download() as saved:
        page.get_by_role("link", name="Save as HTML").click()

    assert saved.value.suggested_filename.endswith(".html")
    page.close()
