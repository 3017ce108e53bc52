"""Ten questions of who operates flows, each answered from the first page within three clicks, on real runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.sample import AGENT, sample_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MOST_CLICKS = 3
# Runs that another test had retried fail again meanwhile; the page follows.
FOLLOWED = 30_000


class Clicks:
    """A page that was opened at the first one, and how often something was clicked since."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.number = 0
        page.goto("/")

    def on(self, one: Locator) -> None:
        self.number += 1
        one.click()

    def need(self, words: str) -> Locator:
        return self.page.locator("li.need").filter(has_text=words)

    def row(self, words: str) -> Locator:
        return self.page.locator(".deployment-lines tbody tr").filter(has_text=words)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with sample_server(tmp_path_factory.mktemp("home")) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture
def clicks(chromium: Browser, address: str) -> Iterator[Clicks]:
    context = chromium.new_context(base_url=address)
    clicks = Clicks(context.new_page())
    yield clicks
    context.close()
    assert clicks.number <= MOST_CLICKS


def test_what_failed_today(clicks: Clicks):
    expect(clicks.need("KeyError: 'customer_id'")).to_contain_text("2 runs · etl", timeout=FOLLOWED)
    clicks.on(clicks.need("KeyError").get_by_role("link", name="2 runs"))
    expect(clicks.page.locator("tbody tr")).to_have_count(2)


def test_why_a_run_failed(clicks: Clicks):
    expect(clicks.need("KeyError")).to_contain_text("in load_rows-2", timeout=FOLLOWED)
    clicks.on(clicks.need("KeyError").get_by_role("link", name="2 runs"))
    clicks.on(clicks.page.locator("tbody a.name").first)
    why = clicks.page.locator(".why")
    expect(why).to_contain_text("load_rows-2 raised KeyError: 'customer_id'")
    expect(why).to_contain_text("flows.py:")


def test_whether_the_error_is_a_new_one(clicks: Clicks):
    expect(clicks.need("TimeoutError")).to_contain_text(re.compile(r"\d runs · .*since \d+ ?h ago"))
    clicks.on(clicks.need("TimeoutError").get_by_role("link", name="runs"))
    expect(clicks.page.locator("tbody tr").first).to_contain_text("warehouse.example:5432")


def test_what_runs_now_and_where(clicks: Clicks):
    expect(clicks.page.locator(".running-list")).to_contain_text(
        re.compile(f"backup.*full-copy.*started.*on {AGENT}", re.S)
    )


def test_what_waits_for_what_and_since_when(clicks: Clicks):
    line = clicks.need("gpu")
    expect(line).to_contain_text(re.compile(r"runs? waits?.*since \d+m ago", re.S))
    expect(line.locator("code")).to_contain_text("orion agent start")


def test_what_runs_tonight(clicks: Clicks):
    expect(clicks.page.get_by_role("region", name="Next 24 hours").get_by_role("row").nth(1)).to_contain_text("rates")
    clicks.on(clicks.page.get_by_role("navigation", name="Main").get_by_role("link", name="Schedule"))
    expect(clicks.page.locator(".tracks tr").filter(has_text="etl")).to_contain_text(re.compile(r"in \d+ ?m"))


def test_which_deployment_became_slower(clicks: Clicks):
    expect(clicks.row("report")).to_contain_text("slower")
    expect(clicks.row("etl")).to_contain_text("steady")


def test_rerunning_what_failed(clicks: Clicks):
    clicks.on(clicks.need("KeyError").get_by_role("link", name=re.compile("Retry 2")))
    clicks.on(clicks.page.get_by_role("button", name="Retry 2 runs"))
    expect(clicks.page.get_by_role("status").first).to_contain_text("2 runs")


def test_pausing_one_schedule(clicks: Clicks):
    clicks.on(clicks.row("thumbnails").locator("a.name"))
    clicks.on(clicks.page.get_by_role("link", name="Schedules", exact=True))
    clicks.on(clicks.page.get_by_role("button", name=re.compile("^On")))
    expect(clicks.page.get_by_role("button", name=re.compile("^Off"))).to_be_visible()


def test_pausing_a_deployment(clicks: Clicks):
    clicks.on(clicks.row("backup").get_by_role("button", name="Active"))
    expect(clicks.row("backup").get_by_role("button", name="Paused")).to_be_visible()


def test_running_with_other_parameters(clicks: Clicks):
    clicks.on(clicks.row("etl").get_by_role("link", name="Run with…"))
    clicks.page.get_by_label("tables").fill("shops")
    clicks.on(clicks.page.get_by_role("button", name="Run", exact=True))
    expect(clicks.page.locator("main")).to_contain_text(re.compile("Scheduled|Pending|Running|Completed"))
    clicks.on(clicks.page.get_by_role("link", name="Parameters"))
    expect(clicks.page.locator("main")).to_contain_text("shops")
