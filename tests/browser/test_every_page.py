"""Every page in a browser, with a row of each kind: nothing is refused by its policy, and it keeps the rules of axe.

The rules are checked where `AXE_CORE` is the path of axe-core's `axe.min.js`; `make browser` installs it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Shown
from tests.browser.houses import House, is_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = os.environ.get("AXE_CORE", "")
FIRST = ["Home", "Runs", "Flows", "Deployments", "Schedule"]
# Pages of other projects, whose scripts build them.
FOREIGN = {"/docs", "/redoc"}
FORM = "main form[method=post]:not(.confirm form, [action]):has(textarea, input:not([type=hidden]))"
# Empty every field that can be edited, and submit the form.
SEND_NOTHING = """(form) => {
  form.noValidate = true;
  const kept = "[type=hidden], [type=checkbox], [type=radio], [type=submit]";
  for (const one of form.querySelectorAll(`textarea, input:not(${kept})`)) one.value = "";
  for (const one of form.querySelectorAll("input[type=radio]")) one.checked = false;
  (form.querySelector(".button-main") ?? form.querySelector("button")).click();
}"""
# A field with an error says so, and its words are tied to it.
NAMELESS = """() => {
  const isNamed = (one) => (one?.getAttribute("aria-describedby") ?? "").split(" ")
    .some((id) => document.getElementById(id)?.matches(".wrong"));
  return [...document.querySelectorAll("main [aria-invalid=true]")]
    .filter((one) => !isNamed(one) && !isNamed(one.closest("fieldset")))
    .map((one) => `${location.pathname}: ${one.name} does not name its error`);
}"""
SCREENS = [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")]


@pytest.mark.parametrize("text", ["evil", pytest.param("plain", marks=pytest.mark.everywhere)])
def test_the_console_stays_silent_on_every_page(chromium: Browser, request: pytest.FixtureRequest, text: str):
    house: House = request.getfixturevalue(f"{text}_house")
    context = chromium.new_context(base_url=house.address, viewport={"width": 1440, "height": 800})
    page = context.new_page()
    messages: list[str] = []
    page.on(
        "console", lambda one: messages.append(f"{page.url}: {one.text}") if one.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda error: messages.append(f"{page.url}: {error}"))
    page.on("dialog", lambda dialog: (messages.append(f"{page.url}: a dialog"), dialog.dismiss()))

    seen = 0
    for path in house.everywhere:
        if is_page(context, path):
            page.goto(path)
            seen += 1
    context.close()

    assert messages == []
    assert seen > 60


def broken_rules(page: Page, part: str = "html", *, opens: bool = True) -> list[str]:
    """List what axe finds in the part of the page as it is shown now; `opens`: with all details open."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(Path(AXE).read_text())
    if opens:
        page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true })")
    found = page.evaluate("(part) => axe.run(part)", part)["violations"]
    return [f"{page.url}: {one['id']}: {one['nodes'][0]['html'][:300]}" for one in found]


@pytest.mark.everywhere
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not AXE, reason="AXE_CORE is not set")
@pytest.mark.parametrize(
    ("text", "width", "scheme"),
    [*(("plain", *screen) for screen in SCREENS), ("evil", 390, "dark"), ("evil", 1440, "light")],
)
def test_every_page_keeps_the_rules_of_axe(
    chromium: Browser, request: pytest.FixtureRequest, text: str, width: int, scheme: str
):
    house: House = request.getfixturevalue(f"{text}_house")
    context = chromium.new_context(
        base_url=house.address,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=True,
    )
    page = context.new_page()

    found = []
    for path in house.everywhere:
        if path not in FOREIGN and is_page(context, path):
            page.goto(path)
            found += broken_rules(page)
    context.close()

    assert found == [], "\n".join(found)


@pytest.mark.everywhere
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not AXE, reason="AXE_CORE is not set")
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_forms_with_errors_keep_the_rules_of_axe(chromium: Browser, plain_house: House, width: int, scheme: str):
    context = chromium.new_context(
        base_url=plain_house.address,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        bypass_csp=True,
    )
    page = context.new_page()

    found, wrong = [], []
    for path in plain_house.everywhere:
        if not is_form(path) or not is_page(context, path):
            continue
        page.goto(path)
        if not page.locator(FORM).count():
            continue
        with page.expect_navigation():
            page.locator(FORM).first.evaluate(SEND_NOTHING)
        if page.locator(".wrong, .notice-error").count():
            wrong.append(path)
            found += [*broken_rules(page), *page.evaluate(NAMELESS)]
    context.close()

    assert found == [], "\n".join(found)
    assert len(wrong) >= 10, wrong


def is_form(path: str) -> bool:
    """Pages that make and change one thing; sent empty, those of the frameworks and of settings change something."""
    return path.endswith("/run") or any(part in path for part in ("/new", "/edit", "/backfill", "/variables/"))


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
    expect(menu.get_by_role("link")).to_have_count(21)
    menu.get_by_role("link", name="Blocks").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Blocks")
    page.set_viewport_size({"width": 1440, "height": 800})
    expect(menu.get_by_role("link")).to_have_count(21)
    expect(menu.get_by_text("More")).to_be_hidden()
    context.close()
