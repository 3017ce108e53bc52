"""Schedules of a deployment in forms: shown before they are saved, made, changed, switched, deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from deployments.models import Deployment, Schedule
from deployments.schedules.services.calendars import create_calendar
from runs.models import FlowRun
from tests.web.conftest import HOSTILE
from tests.web.deployments import HOURLY, NIGHTLY, make_deployment

CRON = {"cron": "30 1 * * *", "timezone": "Europe/Berlin", "misfire": "none", "active": "on", "parameters": "{}"}
INTERVAL = {"every": "90", "unit": "minutes", "timezone": "UTC", "misfire": "latest", "active": "on"}
RULE = {"rrule": "FREQ=WEEKLY;BYDAY=MO", "timezone": "UTC", "misfire": "none", "active": "on"}
ICS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//x//x//EN
BEGIN:VEVENT
UID:1
DTSTAMP:20260101T000000Z
DTSTART:{}T060000Z
DTEND:{}T070000Z
SUMMARY:Close the books
END:VEVENT
END:VCALENDAR
"""


@pytest.fixture
def nightly(db: None) -> Deployment:
    return make_deployment()


def path_of(deployment: Deployment, schedule: Schedule | None = None, act: str = "edit") -> str:
    return f"/deployments/{deployment.pk}/schedules/" + (f"{schedule.pk}/{act}" if schedule else "new")


def event_of(day: datetime) -> str:
    return ICS.format(f"{day:%Y%m%d}", f"{day:%Y%m%d}")


@pytest.mark.parametrize("kind", ["cron", "interval", "rrule", "ics"])
def test_each_kind_has_its_form(browser: Client, nightly: Deployment, kind: str):
    answer = browser.get(path_of(nightly) + f"?kind={kind}")

    assert answer.context["form"].kind == kind
    assert answer.context["draft"] is None


def test_a_preview_shows_ten_times_in_words_and_saves_nothing(browser: Client, nightly: Deployment):
    answer = browser.post(path_of(nightly), {**CRON, "do": "preview"})

    draft = answer.context["draft"]
    assert draft.words == "at 01:30 every day, Europe/Berlin"
    assert len(draft.times) == 10
    assert draft.times[0].text in answer.content.decode()
    assert not Schedule.objects.exists()


def test_a_preview_explains_times_at_changes_of_the_clock(browser: Client, nightly: Deployment):
    sent = {**CRON, "cron": "30 2 25-31 3 SUN", "day_and": "on", "do": "preview"}

    draft = browser.post(path_of(nightly), sent).context["draft"]

    assert ["clocks go forward" in one.note for one in draft.times] == [True] * 10


def test_typing_loads_only_the_preview(browser: Client, nightly: Deployment):
    answer = browser.post(path_of(nightly), {**CRON, "do": "preview"}, headers={"HX-Request": "true"})

    page = answer.content.decode()
    assert "at 01:30 every day" in page
    assert "<form" not in page
    assert "<html" not in page


def test_a_saved_schedule_plans_runs(browser: Client, nightly: Deployment):
    answer = browser.post(path_of(nightly), {**CRON, "parameters": '{"a": 1}', "max_runs": "7"})

    schedule = Schedule.objects.get()
    assert answer["location"] == f"/deployments/{nightly.pk}?tab=schedules"
    assert schedule.definition == {"cron": "30 1 * * *", "timezone": "Europe/Berlin", "day_or": True}
    assert (schedule.parameters, schedule.max_runs, schedule.active) == ({"a": 1}, 7, True)
    assert FlowRun.objects.filter(schedule_id=schedule.pk).exists()


def test_a_schedule_with_parameters_is_opened_with_its_next_times(browser: Client, nightly: Deployment):
    browser.post(path_of(nightly), {**CRON, "parameters": '{"a": 1}'})

    answer = browser.get(path_of(nightly, Schedule.objects.get()))

    assert answer.status_code == 200
    assert "at 01:30 every day" in answer.content.decode()


def test_an_interval_counts_from_its_anchor_on_the_clocks_of_its_zone(browser: Client, nightly: Deployment):
    browser.post(
        path_of(nightly) + "?kind=interval",
        {**INTERVAL, "anchor": "2026-01-05T06:00", "timezone": "Europe/Berlin", "ends_at": "2100-01-01T00:00"},
    )

    schedule = Schedule.objects.get()
    assert schedule.definition == {
        "interval": 5400.0,
        "timezone": "Europe/Berlin",
        "anchor_date": "2026-01-05T05:00:00+00:00",
    }
    assert (schedule.misfire, schedule.ends_at) == ("latest", datetime(2099, 12, 31, 23, tzinfo=UTC))


def test_another_zone_keeps_what_clocks_show_at_the_anchor_and_the_end(browser: Client):
    anchor, end = "2026-01-05T06:00:00.000123+01:00", datetime(2099, 12, 31, 23, tzinfo=UTC)
    made = make_deployment(schedules=[{"interval": 5400.0, "anchor_date": anchor, "timezone": "Europe/Berlin"}])
    schedule = Schedule.objects.get()
    Schedule.objects.update(ends_at=end)
    sent = {**INTERVAL, "anchor": "2026-01-05T06:00:00", "ends_at": "2100-01-01T00:00:00"}

    shown = browser.post(path_of(made, schedule), {**sent, "timezone": "America/New_York", "do": "preview"})
    browser.post(path_of(made, schedule), {**sent, "timezone": "America/New_York"})

    stored = Schedule.objects.get()
    assert "counted from 2026-01-05 06:00" in shown.context["draft"].words
    assert stored.definition["anchor_date"] == "2026-01-05T11:00:00.000123+00:00"
    assert stored.ends_at == datetime(2100, 1, 1, 5, tzinfo=UTC)


def test_a_rule_is_saved(browser: Client, nightly: Deployment):
    browser.post(path_of(nightly) + "?kind=rrule", RULE)

    assert Schedule.objects.get().definition == {"rrule": "FREQ=WEEKLY;BYDAY=MO", "timezone": "UTC"}


def test_a_calendar_file_is_previewed_kept_and_saved(browser: Client, nightly: Deployment):
    text = event_of(timezone.now() + timedelta(days=3))
    common = {"misfire": "none", "active": "on"}
    uploaded = SimpleUploadedFile("plan.ics", text.encode(), "text/calendar")

    preview = browser.post(path_of(nightly) + "?kind=ics", {**common, "file": uploaded, "do": "preview"})
    kept = preview.context["form"].data["ics"]
    browser.post(path_of(nightly) + "?kind=ics", {**common, "ics": kept})

    assert [one.text[-9:] for one in preview.context["draft"].times] == ["06:00 UTC"]
    assert kept == text
    assert "BEGIN:VEVENT" in Schedule.objects.get().definition["ics"]


def test_a_preview_names_the_fields_that_it_lacks(browser: Client, nightly: Deployment):
    sent = {**CRON, "cron": "", "max_runs": "many", "do": "preview"}

    draft = browser.post(path_of(nightly), sent).context["draft"]

    assert draft.problem == "Cron: This field is required. Ends after this many runs: Enter a whole number."


def test_times_in_a_calendar_are_left_out(browser: Client, nightly: Deployment):
    tomorrow = timezone.now() + timedelta(days=1)
    create_calendar(name="holidays", ics=event_of(tomorrow), now=timezone.now())
    sent = {**CRON, "cron": "30 6 * * *", "timezone": "UTC", "calendars": ["holidays"]}

    draft = browser.post(path_of(nightly), {**sent, "do": "preview"}).context["draft"]
    browser.post(path_of(nightly), sent)

    assert [one.note for one in draft.times if one.left_out] == ["left out: Close the books"]
    assert [one.name for one in Schedule.objects.get().calendars.all()] == ["holidays"]


@pytest.mark.parametrize(
    ("kind", "sent", "field"),
    [
        ("cron", {**CRON, "cron": "61 * * * *"}, "cron"),
        ("cron", {**CRON, "cron": ""}, "cron"),
        ("cron", {**CRON, "timezone": "Europe/Berlim"}, "timezone"),
        ("cron", {**CRON, "parameters": "[]"}, "parameters"),
        ("cron", {**CRON, "max_runs": "0"}, "max_runs"),
        ("interval", {**INTERVAL, "every": "0"}, "every"),
        ("interval", {**INTERVAL, "anchor": "soon"}, "anchor"),
        ("rrule", {**RULE, "rrule": "FREQ=SOMETIMES"}, "rrule"),
        ("ics", {"misfire": "none", "ics": "nothing"}, "ics"),
        ("ics", {"misfire": "none", "ics": ""}, "ics"),
        ("cron", {**CRON, "ends_at": "2020-01-01T00:00"}, "__all__"),
    ],
)
def test_errors_are_shown_at_their_field(
    browser: Client, nightly: Deployment, kind: str, sent: dict[str, Any], field: str
):
    answer = browser.post(path_of(nightly) + f"?kind={kind}", sent)

    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
    assert not Schedule.objects.exists()


@pytest.mark.parametrize("definition", [NIGHTLY, HOURLY, {"rrule": "FREQ=DAILY;BYHOUR=6", "timezone": "Asia/Kolkata"}])
def test_a_stored_schedule_is_shown_with_its_times_and_saved_as_it_was(browser: Client, definition: dict[str, Any]):
    made = make_deployment(schedules=[definition])
    schedule = Schedule.objects.get()
    answer = browser.get(path_of(made, schedule))
    form = answer.context["form"]

    shown = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    if "anchor" in shown:
        shown["anchor"] = f"{shown['anchor']:%Y-%m-%dT%H:%M:%S}"
    saving = browser.post(path_of(made, schedule), {**shown, "parameters": "{}"})

    assert len(answer.context["draft"].times) == 10
    assert saving.status_code == 302
    stored = Schedule.objects.get()
    assert {name: value for name, value in stored.definition.items() if name != "day_or"} == definition
    assert FlowRun.objects.filter(schedule_id=schedule.pk).exists()


BERLIN = {"cron": "30 6 * * *", "timezone": "Europe/Berlin"}
IN_BERLIN = {
    "ics": event_of(datetime(2100, 1, 5, tzinfo=UTC))
    .replace("DTSTART:21000105T060000Z", "DTSTART;TZID=Europe/Berlin:21000105T060000")
    .replace("DTEND:21000105T070000Z", "DTEND;TZID=Europe/Berlin:21000105T070000")
}


@pytest.mark.parametrize(
    ("definition", "end"),
    [
        (BERLIN, datetime(2100, 10, 31, 1, 30, tzinfo=UTC)),
        (BERLIN, datetime(2100, 1, 9, 22, 59, 59, 999_999, tzinfo=UTC)),
        (IN_BERLIN, datetime(2100, 1, 9, 22, tzinfo=UTC)),
    ],
    ids=["clocks set back", "fraction of a second", "zone of the calendar file"],
)
def test_an_end_that_is_not_changed_stays_the_same_moment(browser: Client, definition: dict[str, Any], end: datetime):
    made = make_deployment(schedules=[definition])
    schedule = Schedule.objects.get()
    Schedule.objects.update(ends_at=end)
    form = browser.get(path_of(made, schedule)).context["form"]
    shown = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    sent = {**shown, "ends_at": f"{shown['ends_at']:%Y-%m-%dT%H:%M:%S}", "parameters": "{}", "max_runs": "9"}

    saving = browser.post(path_of(made, schedule), sent)
    stored = Schedule.objects.get()
    browser.post(path_of(made, schedule), {**sent, "ends_at": "2100-01-05T12:00:00", "shown_values": ""})

    assert (saving.status_code, stored.max_runs, stored.ends_at) == (302, 9, end)
    assert Schedule.objects.get().ends_at == datetime(2100, 1, 5, 11, tzinfo=UTC)


def test_a_schedule_becomes_another_one(browser: Client):
    made = make_deployment(schedules=[NIGHTLY])
    schedule = Schedule.objects.get()

    browser.post(path_of(made, schedule) + "?kind=interval", {**INTERVAL})

    stored = Schedule.objects.get()
    assert (stored.pk, stored.definition["interval"]) == (schedule.pk, 5400)


def test_a_schedule_is_switched_off_and_on(browser: Client):
    made = make_deployment(schedules=[HOURLY])
    schedule = Schedule.objects.get()
    planned = FlowRun.objects.filter(schedule_id=schedule.pk)

    browser.post(path_of(made, schedule, "pause"))
    assert (Schedule.objects.get().active, planned.exists()) == (False, False)

    browser.post(path_of(made, schedule, "resume"))
    assert (Schedule.objects.get().active, planned.exists()) == (True, True)


def test_a_schedule_is_deleted_with_what_it_planned(browser: Client):
    made = make_deployment(schedules=[HOURLY])

    answer = browser.post(path_of(made, Schedule.objects.get(), "delete"), follow=True)

    assert "The schedule was deleted" in answer.content.decode()
    assert (Schedule.objects.count(), FlowRun.objects.count()) == (0, 0)


def test_schedules_of_others_are_not_found(browser: Client, nightly: Deployment):
    other = make_deployment("other", schedules=[HOURLY])
    schedule = Schedule.objects.get()

    for act in ("edit", "pause", "resume", "delete"):
        assert browser.post(path_of(nightly, schedule, act)).status_code == 404
    assert browser.get(f"/deployments/{uuid4()}/schedules/new").status_code == 404
    assert Schedule.objects.get().deployment_id == other.pk


def test_texts_of_others_are_text_and_not_markup(browser: Client, nightly: Deployment):
    page = browser.post(path_of(nightly), {**CRON, "cron": HOSTILE, "timezone": HOSTILE}).content.decode()

    assert HOSTILE not in page
