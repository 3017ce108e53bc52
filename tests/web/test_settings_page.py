"""Settings: what a browser prefers, and pages that follow it; those of the server, of which some change at run time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from deployments.models import ChangedSetting
from deployments.upkeep.current_settings import CHANGEABLE, current, forget
from events.models import Event
from orion_site.preferences.reader import COOKIE
from orion_site.server_settings.catalogue import CATALOGUE
from orion_site.services.registry import retention_ages
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


def test_a_changed_setting_is_confirmed_and_shown(browser: Client):
    prefer(browser, theme="light", zone="Europe/Berlin", keys=None)

    page = browser.get("/settings").content.decode()

    assert "Your preferences are stored in this browser." in page
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
def test_an_invalid_choice_is_reported_at_its_field(browser: Client, name: str):
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


LATE = "ORION_LATE_AFTER_SECONDS"


@pytest.fixture(autouse=True)
def fresh_settings() -> Iterator[None]:
    forget()
    yield
    forget()


def row_of(name: str, page: str) -> str:
    row = re.search(rf'<tr id="{name}">.*?</tr>', page, re.DOTALL)
    assert row is not None, name
    return re.sub(r"\s+", " ", row[0])


def test_every_setting_of_the_manual_is_shown_with_its_meaning(browser: Client, django_assert_max_num_queries: Any):
    page = (Path(settings.BASE_DIR) / "docs/reference/settings.md").read_text()
    manual = page.partition("## Settings of the server")[2]
    names = set(re.findall(r"^\| `(ORION_\w+)` \|", manual, re.MULTILINE))

    with django_assert_max_num_queries(12):
        shown = browser.get("/settings").content.decode()

    assert {entry.name for entries in CATALOGUE.values() for entry in entries} == names
    assert all(row_of(name, shown) for name in names)
    assert "How long after its time a run becomes Late" in row_of(LATE, shown)


def test_a_setting_shows_the_source_of_its_value(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORION_LEASE_SECONDS", "120")

    page = browser.get("/settings").content.decode()

    assert "> environment <" in row_of("ORION_LEASE_SECONDS", page)
    assert "> default <" in row_of("ORION_HEARTBEAT_SECONDS", page)


def test_secrets_are_never_shown(browser: Client, settings: Any):
    settings.ORION_ENCRYPTION_KEYS = ["hunter2"]
    settings.ORION_BROKER_URL = "redis://orion:hunter2@broker:6379/0"

    page = browser.get("/settings").content.decode()
    answer = browser.get("/api/admin/settings").content.decode()

    assert "hunter2" not in page + answer
    assert settings.SECRET_KEY not in page + answer
    assert "redis://broker:6379/0" in page


def test_a_change_holds_at_once_and_is_an_event(browser: Client, django_capture_on_commit_callbacks: Any):
    assert current(LATE) == 15

    answer = browser.post(f"/settings/server/{LATE}", {"value": "90"})

    assert answer["location"] == f"/settings#{LATE}"
    assert current(LATE) == 90
    page = browser.get("/settings").content.decode()
    assert ">90<" in row_of(LATE, page)
    assert "changed here" in row_of(LATE, page)
    assert "by local owner, was 15 (default)" in row_of(LATE, page)
    assert browser.get("/api/admin/settings").json()[LATE] == 90
    event = Event.objects.get(event="orion.setting.changed")
    assert event.resource_id == f"orion.setting.{LATE}"
    assert event.payload == {"before": 15, "after": 90, "by": "local owner"}


def test_a_change_is_set_back(browser: Client):
    browser.post(f"/settings/server/{LATE}", {"value": "90"})

    browser.post(f"/settings/server/{LATE}/reset")

    assert current(LATE) == 15
    assert not ChangedSetting.objects.exists()
    assert "changed here" not in row_of(LATE, browser.get("/settings").content.decode())
    assert Event.objects.get(event="orion.setting.reset").payload["after"] == 15


def test_resetting_an_unchanged_setting_is_not_recorded(browser: Client):
    browser.post(f"/settings/server/{LATE}/reset")

    assert not Event.objects.exists()


def test_what_another_process_changed_holds_when_it_is_looked_at_again(db: None):
    assert retention_ages().runs is not None
    ChangedSetting.objects.create(name="ORION_RETENTION_DAYS_RUNS", value=0, changed="2026-11-20T12:00:00Z")

    forget()  # as two seconds do

    assert retention_ages().runs is None


@pytest.mark.parametrize("value", ["", "-1", "1.5", "86401", "9" * 30, "<evil>", "\0"])
def test_a_value_beyond_its_bounds_is_refused_at_its_field(browser: Client, value: str):
    answer = browser.post(f"/settings/server/{LATE}", {"value": value})

    assert answer.status_code == 422
    assert f"to {CHANGEABLE[LATE].most}" in answer.content.decode()
    assert current(LATE) == 15


@pytest.mark.parametrize(
    ("name", "status"), [("ORION_SECRET_KEY", 404), ("ORION_LEASE_SECONDS", 404), ("nonsense", 404), ("%00", 400)]
)
def test_other_settings_cannot_be_changed(browser: Client, name: str, status: int):
    assert browser.get(f"/settings/server/{name}").status_code == status
    assert browser.post(f"/settings/server/{name}", {"value": "1"}).status_code == status
    assert browser.post(f"/settings/server/{name}/reset").status_code == status


def test_each_changeable_setting_has_a_form_with_its_bounds(browser: Client):
    for name, bounds in CHANGEABLE.items():
        page = browser.get(f"/settings/server/{name}").content.decode()

        assert f"From {bounds.least} to {bounds.most}." in page
        assert 'name="value"' in page
