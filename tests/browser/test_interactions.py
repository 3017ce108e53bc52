"""Pages keep the rules of axe after somebody did something there, too: menus, dialogs, choices, errors.

The rules are checked where `AXE_CORE` is the path of axe-core's `axe.min.js`; `make browser` installs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import Shown
from tests.browser.houses import House
from tests.browser.test_every_page import AXE, NAMELESS, SCREENS, broken_rules
from tests.browser.test_run_graph import Pipeline, make_pipeline, node, post

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.everywhere,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not AXE, reason="AXE_CORE is not set"),
]

PATIENCE = 30_000
QUESTION = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean", "title": "Approved"},
        "pieces": {"type": "integer", "default": 1, "minimum": 1, "description": "How many to buy"},
        "until": {"type": "string", "format": "date"},
        "carrier": {"enum": ["post", "courier"]},
    },
    "required": ["approved", "until"],
}
KEYSET = {"schema": "ask-schema", "response": "ask-response", "description": "ask-description"}
# How many rows of a page can be chosen, and are so by keys.
CHOSEN = 3


class Place:
    """A page of a furnished server that somebody uses, and what else was made there for that."""

    def __init__(self, page: Page, house: House) -> None:
        self.page, self.house = page, house

    @property
    def is_narrow(self) -> bool:
        return (self.page.viewport_size or {"width": 0})["width"] < 600

    def open(self, name: str, more: str = "") -> Page:
        self.page.goto(self.house.named[name] + more)
        return self.page

    def open_live(self, name: str, more: str = "") -> Page:
        self.open(name, more)
        expect(self.page.locator("#live-control")).to_have_attribute("data-state", "live", timeout=PATIENCE)
        return self.page

    def run(self, state: str = "RUNNING", **details: Any) -> str:
        wanted = {"type": state, **details}
        return post(self.page.request, "/flow_runs/", flow_id=self.flow, name="made-now", state=wanted)

    @property
    def flow(self) -> str:
        return self.house.pages["runs:flow"].rsplit("/", 1)[1]

    def pipeline(self) -> Pipeline:
        return make_pipeline(self.page.request, Shown(self.house.address, "", "", self.flow))

    def paused(self) -> str:
        run = self.run("PAUSED", state_details={"run_input_keyset": KEYSET})
        for key, value in (("schema", QUESTION), ("description", "Shall we **buy** them?")):
            answer = self.page.request.post(
                f"/api/flow_runs/{run}/input",
                headers={"Content-Type": "application/json"},
                data=json.dumps({"key": KEYSET[key], "value": json.dumps(value)}),
            )
            assert answer.ok, answer.text()
        return run


# --- on any page ---


def find_in_the_palette(page: Page) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type("load")
    expect(page.get_by_role("dialog").get_by_role("option").first).to_be_visible(timeout=PATIENCE)


def list_the_keys(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible(timeout=PATIENCE)


# --- on single pages ---


def open_the_menu(place: Place) -> None:
    page = place.open("home")
    if place.is_narrow:
        page.get_by_role("navigation", name="Main").get_by_text("More").click()
        expect(page.get_by_role("link", name="Blocks")).to_be_visible(timeout=PATIENCE)


def find_nothing(place: Place) -> None:
    page = place.open("home")
    page.keyboard.press("Control+k")
    page.keyboard.type("nothingofthisname")
    expect(page.get_by_role("dialog").get_by_role("combobox")).to_have_value("nothingofthisname")


def pause_the_page(place: Place) -> None:
    page = place.open_live("runs:runs")
    page.keyboard.press(".")
    expect(page.locator("#live-control")).to_contain_text("Paused")


def show_times_in_utc(place: Place) -> None:
    page = place.open("runs:run")
    button = page.get_by_role("button", name=re.compile("^Times:"))
    if button.count():
        button.first.click()


def hold_new_rows(place: Place) -> None:
    page = place.open_live("runs:runs")
    page.locator("tbody tr").first.hover()
    for _ in range(2):
        place.run()
    expect(page.get_by_role("button", name=re.compile("new runs?: show"))).to_be_visible(timeout=PATIENCE)


def choose_rows(place: Place) -> None:
    for _ in range(CHOSEN):
        place.run()
    page = place.open("runs:runs")
    for key in ("j", "x", "j", "j", "Shift+X"):
        page.keyboard.press(key)
    assert page.locator("tbody input[form=many]:checked").count() == CHOSEN


def preview_a_bulk_action(place: Place) -> None:
    choose_rows(place)
    page = place.page
    cancel = page.get_by_role("button", name="Cancel the chosen")
    # Keys open it, on a screen that has room for it.
    if not cancel.is_visible():
        page.get_by_text("Change many runs…").click()
    cancel.click()
    expect(page.get_by_role("button", name=re.compile(r"^(Retry|Cancel|Delete) \d+ run"))).to_be_visible(
        timeout=PATIENCE
    )


def preview_all_that_match(place: Place) -> None:
    page = place.open("runs:runs")
    page.get_by_text("Change many runs…").click()
    page.get_by_role("link", name="cancel").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Cancel")


def choose_a_node(view: str) -> Callable[[Place], None]:
    def choose(place: Place) -> None:
        pipeline = place.pipeline()
        place.page.goto(f"/runs/{pipeline.run}?tab=graph&view={view}")
        expect(place.page.locator("#live-control")).to_have_attribute("data-state", "live", timeout=PATIENCE)
        node(place.page, "clean-0").click()
        expect(place.page.get_by_role("region", name="Chosen node")).to_be_visible(timeout=PATIENCE)

    return choose


def choose_a_day(place: Place) -> None:
    page = place.open("deployments:schedule?view=month")
    page.locator("a.day").last.click()
    expect(page.locator("#day")).to_be_visible(timeout=PATIENCE)


def open_the_versions(place: Place) -> None:
    page = place.open("deployments:deployment")
    page.get_by_role("link", name="Versions", exact=True).click()
    expect(page.locator("tr[id^=version-]").first).to_be_visible(timeout=PATIENCE)


def be_asked(place: Place) -> None:
    place.page.goto(f"/runs/{place.paused()}")
    expect(place.page.locator("#answer")).to_be_visible(timeout=PATIENCE)


def answer_wrongly(place: Place) -> None:
    be_asked(place)
    form = place.page.locator("#answer")
    form.get_by_label("pieces").fill("0")
    form.locator("form").evaluate("(form) => { form.noValidate = true }")
    form.locator("button").first.click()
    expect(place.page.locator("main .wrong").first).to_be_visible(timeout=PATIENCE)
    assert place.page.evaluate(NAMELESS) == []


def type_a_schedule(cron: str, shown: str) -> Callable[[Place], None]:
    def type_it(place: Place) -> None:
        page = place.open("deployments:new-schedule")
        page.get_by_role("textbox", name="Cron").press_sequentially(cron)
        expect(page.locator("main")).to_contain_text(re.compile(shown), timeout=PATIENCE)

    return type_it


def preview_a_backfill(place: Place) -> None:
    page = place.open("deployments:new-backfill")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("main .wrong, main .notice, main table, main section").first).to_be_visible(timeout=PATIENCE)


def try_on_past_events(place: Place) -> None:
    page = place.open("events:edit-automation")
    page.get_by_role("button", name="Try on past events").click()
    expect(page.get_by_role("region", name="Dry run")).to_be_visible(timeout=PATIENCE)


def run_at_no_time(place: Place) -> None:
    page = place.open("deployments:run-with")
    page.get_by_label("number", exact=True).fill("many")
    page.get_by_text("Retries, work queue and job variables").click()
    page.get_by_role("radio", name="At").check()
    page.locator("main form").evaluate("(form) => { form.noValidate = true }")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("main .wrong, main .notice-error").first).to_be_visible(timeout=PATIENCE)


def switch_a_deployment(place: Place) -> None:
    page = place.open("home")
    page.locator(".deployment-lines").get_by_role("button", name="Active").first.click()
    expect(page.locator(".deployment-lines").get_by_role("button", name="Paused").first).to_be_visible(timeout=PATIENCE)


def switch_it_back(place: Place) -> None:
    page = place.open("home")
    page.locator(".deployment-lines").get_by_role("button", name="Paused").first.click()
    expect(page.get_by_role("status").first).to_be_attached()


def search_the_log(place: Place) -> None:
    page = place.open("runs:run?tab=logs")
    page.get_by_role("searchbox").first.fill("load")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_visible(timeout=PATIENCE)


def ask_before_deleting(place: Place) -> None:
    page = place.open("runs:run")
    page.get_by_text("Delete…").first.click()
    expect(page.get_by_role("button", name=re.compile("Delete")).first).to_be_visible(timeout=PATIENCE)


def cancel_a_run(place: Place) -> None:
    place.page.goto(f"/runs/{place.run()}")
    place.page.get_by_role("button", name="Cancel run").click()
    expect(place.page.get_by_role("status").first).to_contain_text("The run")


def point_at_a_run(place: Place) -> None:
    page = place.open("runs:flow")
    page.locator("main figure a[href^='/runs/']").first.focus()


INTERACTIONS: dict[str, Callable[[Place], None]] = {
    "the menu is open": open_the_menu,
    "the palette is open": lambda place: find_in_the_palette(place.open("runs:run")),
    "the palette finds nothing": find_nothing,
    "the keys are listed": lambda place: list_the_keys(place.open("runs:run")),
    "the page is paused": pause_the_page,
    "times are in UTC": show_times_in_utc,
    "new rows are held": hold_new_rows,
    "rows are chosen": choose_rows,
    "a bulk action is previewed": preview_a_bulk_action,
    "a bulk action for all is previewed": preview_all_that_match,
    "a node of the graph is chosen": choose_a_node("graph"),
    "a node of the radar is chosen": choose_a_node("radar"),
    "a day of the month is chosen": choose_a_day,
    "a run asks": be_asked,
    "an answer is refused": answer_wrongly,
    "a schedule is typed": type_a_schedule("30 6 * * 1-5", "06:30"),
    "a wrong schedule is typed": type_a_schedule("99 6 * * *", "99|not"),
    "a backfill is previewed": preview_a_backfill,
    "an automation is tried": try_on_past_events,
    "a run with parameters is refused": run_at_no_time,
    "a deployment is paused": switch_a_deployment,
    "a deployment goes on": switch_it_back,
    "its versions are compared": open_the_versions,
    "the log is searched": search_the_log,
    "a deletion is asked for": ask_before_deleting,
    "a run is cancelled": cancel_a_run,
    "a run of the figure has the focus": point_at_a_run,
}


@contextmanager
def visited(chromium: Browser, house: House, width: int, scheme: str) -> Iterator[BrowserContext]:
    with chromium.new_context(
        base_url=house.address,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        bypass_csp=True,
    ) as context:
        yield context


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_after_each_interaction_pages_keep_the_rules_of_axe(
    chromium: Browser, plain_house: House, width: int, scheme: str
):
    found = []
    with visited(chromium, plain_house, width, scheme) as context:
        for name, interact in INTERACTIONS.items():
            with context.new_page() as page:
                interact(Place(page, plain_house))
                found += [f"{name}: {flaw}" for flaw in broken_rules(page, opens=False)]

    assert found == [], "\n".join(found)
