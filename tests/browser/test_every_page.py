"""Every page in a browser, with a row of each kind: nothing is refused by its policy, and it can be used by everybody.

The rules of axe are checked where `AXE_CORE` is the path of its `axe.min.js` (`npm pack axe-core`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.browser.conftest import Shown
from tests.site.running import environment, running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = os.environ.get("AXE_CORE", "")
FIRST = ["Home", "Runs", "Flows", "Deployments", "Schedule"]
FURNISH = """
import sys, json, django
django.setup()
from tests.web import test_hostile_pages as pages
house = pages.furnished(pages.EVIL if sys.argv[1] == "evil" else "nightly load")
print(json.dumps([pages.address_of(*one, house).path for one in pages.PATTERNS]))
"""
MORE = {
    "/runs/": ["?tab=tasks", "?tab=log", "?tab=history", "?tab=graph", "?tab=graph&view=radar"],
    "/deployments/": ["?tab=runs", "?tab=upcoming", "?tab=schedules", "?tab=parameters"],
    "/schedules/new": ["?kind=interval", "?kind=rrule", "?kind=ics"],
    "/automations/new": ["?when=state&do=send-notification", "?when=event&do=pause-work-queue", "?when=json&do=json"],
}


@pytest.fixture(scope="module", params=["evil", "plain"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and the paths of its pages."""
    home = tmp_path_factory.mktemp("home")
    with running_server(home) as server:
        made = subprocess.run(
            [sys.executable, "-c", FURNISH, request.param],
            env=environment(home, DJANGO_SETTINGS_MODULE="orion_site.settings"),
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        paths = json.loads(made.stdout.splitlines()[-1])
        paths += [path + query for path in paths for part, queries in MORE.items() if part in path for query in queries]
        yield f"http://127.0.0.1:{server.port}", [*paths, "/docs", "/redoc", "/admin/", "/admin/runs/flow/"]


def is_page(context: BrowserContext, path: str) -> bool:
    """Whether there is something to look at: not what redirects, refuses, or is saved as a file."""
    answer = context.request.get(path)
    return answer.status == 200 and "content-disposition" not in answer.headers


def test_the_console_stays_silent_on_every_page(chromium: Browser, house: tuple[str, list[str]]):
    address, paths = house
    context = chromium.new_context(base_url=address, viewport={"width": 1440, "height": 800})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda one: said.append(f"{page.url}: {one.text}") if one.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: said.append(f"{page.url}: {error}"))
    page.on("dialog", lambda dialog: (said.append(f"{page.url}: a dialog"), dialog.dismiss()))

    seen = 0
    for path in paths:
        if is_page(context, path):
            page.goto(path)
            seen += 1
    context.close()

    assert said == []
    assert seen > 60


@pytest.mark.skipif(not AXE, reason="AXE_CORE is not set")
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")])
def test_every_page_keeps_the_rules_of_axe(chromium: Browser, house: tuple[str, list[str]], width: int, scheme: str):
    address, paths = house
    context = chromium.new_context(
        base_url=address,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=True,
    )
    page = context.new_page()
    rules = Path(AXE).read_text()

    found = []
    for path in paths:
        if path not in {"/docs", "/redoc"} and is_page(context, path):
            page.goto(path)
            page.evaluate(rules)
            page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true })")
            for one in page.evaluate("axe.run()")["violations"]:
                found.append(f"{path}: {one['id']}: {one['nodes'][0]['html'][:200]}")
    context.close()

    assert found == []


@pytest.mark.parametrize("width", [320, 390])
def test_the_bar_of_a_phone_has_five_entries_and_the_others_under_more(chromium: Browser, shown: Shown, width: int):
    context = chromium.new_context(
        base_url=shown.address, viewport={"width": width, "height": 800}, java_script_enabled=False
    )
    page = context.new_page()
    page.goto("/")
    menu = page.get_by_role("navigation", name="Main")

    expect(menu.get_by_role("link")).to_have_text(FIRST)
    menu.get_by_text("More").click()
    expect(menu.get_by_role("link")).to_have_count(18)
    menu.get_by_role("link", name="Blocks").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Blocks")
    page.set_viewport_size({"width": 1440, "height": 800})
    expect(menu.get_by_role("link")).to_have_count(18)
    expect(menu.get_by_text("More")).to_be_hidden()
    context.close()
