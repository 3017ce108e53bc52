"""What a browser prefers: its form, its cookie, and the pages that follow it."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from orion_site.preferences.reader import COOKIE
from tests.web.rows import add_lines, make_run

USUAL = {"theme": "system", "density": "normal", "zone": "", "keys": "on", "reloads": "on"}


def prefer(browser: Client, **chosen: str | None) -> None:
    wanted = {name: value for name, value in {**USUAL, **chosen}.items() if value is not None}
    answer = browser.post("/settings/browser", wanted)
    assert (answer.status_code, answer["location"]) == (302, "/settings")


def test_a_page_looks_as_the_system_does_until_a_theme_is_chosen(browser: Client):
    before = browser.get("/runs").content.decode()
    prefer(browser, theme="dark", density="compact")

    after = browser.get("/runs").content.decode()

    assert 'data-theme="system"' in before
    assert 'content="light dark"' in before
    assert 'data-theme="dark"' in after
    assert 'data-density="compact"' in after
    assert 'content="dark"' in after


def test_the_choice_is_said_and_shown_again(browser: Client):
    prefer(browser, theme="light", zone="Europe/Berlin", keys=None)

    page = browser.get("/settings").content.decode()

    assert "This browser shows the pages so from now on." in page
    assert re.search(r'value="light"[^>]*checked', page)
    assert '<option value="Europe/Berlin" selected>' in page
    assert re.search(r'name="keys"[^>]*checked', page) is None
    assert 'data-keys="off"' in page


def test_moments_are_written_in_a_zone_that_was_named(browser: Client):
    run = make_run()
    add_lines(run, "hello")
    prefer(browser, zone="Asia/Kolkata")

    page = browser.get(f"/runs/{run.id}", {"tab": "logs"}).content.decode()

    assert ">2026-11-20 17:30:00 IST<" in page
    assert 'title="2026-11-20 12:00:00 UTC"' in page
    assert '<span class="day">2026-11-20 IST</span>' in page
    assert ">17:30:00.000<" in page
    assert 'data-zone="Asia/Kolkata"' in page


def test_the_switch_in_the_header_goes_to_utc_and_back_to_the_zone(browser: Client):
    run = make_run()
    prefer(browser, zone="Asia/Kolkata")

    answer = browser.post("/settings/zone", {"zone": "UTC", "back": f"/runs/{run.id}?tab=history"})
    in_utc = browser.get(f"/runs/{run.id}").content.decode()
    browser.post("/settings/zone", {"zone": "local", "back": "/"})
    back = browser.get(f"/runs/{run.id}").content.decode()

    assert answer["location"] == f"/runs/{run.id}?tab=history"
    assert ">2026-11-20 12:00:00 UTC<" in in_utc
    assert 'data-zone="UTC"' in in_utc
    assert ">2026-11-20 17:30:00 IST<" in back


def test_parts_that_two_readers_ask_for_are_in_the_zone_of_each(browser: Client):
    run = make_run()
    place = re.search(r'data-live-place="([^"]+)"', browser.get(f"/runs/{run.id}").content.decode())
    assert place is not None
    address = (f"/runs/{run.id}", {"_f": "facts"})

    first = browser.get(*address, headers={"orion-live": place[1]}).content.decode()
    prefer(browser, zone="Asia/Kolkata")
    second = browser.get(*address, headers={"orion-live": place[1]}).content.decode()

    assert "12:00:00 UTC<" in first
    assert "17:30:00 IST<" in second


def test_a_run_that_moves_comes_again_without_scripts_unless_that_is_unwanted(browser: Client):
    run = make_run(state="RUNNING")
    before = browser.get(f"/runs/{run.id}").content.decode()
    prefer(browser, reloads=None)

    after = browser.get(f"/runs/{run.id}").content.decode()

    assert 'http-equiv="refresh"' in before
    assert 'http-equiv="refresh"' not in after


@pytest.mark.parametrize(
    "back", ["//evil.example/", "https://evil.example/", "javascript:evil()", "", "\\\\evil.example"]
)
def test_the_switch_leads_to_pages_of_ours_only(browser: Client, back: str):
    assert browser.post("/settings/zone", {"zone": "UTC", "back": back})["location"] == "/"


@pytest.mark.parametrize("name", ["theme", "density", "zone"])
def test_what_cannot_be_chosen_is_said_at_its_field(browser: Client, name: str):
    answer = browser.post("/settings/browser", {**USUAL, name: "<evil>"})

    assert answer.status_code == 422
    assert "Select a valid choice." in answer.content.decode()
    assert COOKIE not in answer.cookies


@pytest.mark.parametrize(
    "cookie", ["theme=<evil>&zone=x", "home_zone=../../etc/passwd&in_utc=no", "=&&=", "x" * 5000, "%00%ff"]
)
def test_a_cookie_that_cannot_be_read_changes_nothing(browser: Client, cookie: str):
    browser.cookies[COOKIE] = cookie

    page = browser.get("/runs")

    assert page.status_code == 200
    assert 'data-theme="system"' in page.content.decode()
    assert 'data-zone=""' in page.content.decode()


def test_forms_that_change_the_browser_want_a_token(browser: Client):
    strict = Client(headers={"host": "127.0.0.1:4200"}, enforce_csrf_checks=True)

    assert strict.post("/settings/browser", USUAL).status_code == 403
    assert strict.post("/settings/zone", {"zone": "UTC", "back": "/"}).status_code == 403
