"""Calendars: uploaded, shown with what comes next and who uses them, changed, and deleted with words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from deployments.models import Calendar, Deployment
from deployments.schedules.core.calendars import upcoming_events
from deployments.schedules.services.calendars import create_calendar, delete_calendar_with_uses
from deployments.schedules.services.schedules import NewSchedule, add_schedules
from runs.models import FlowRun
from tests.web.conftest import HOSTILE
from tests.web.deployments import HOURLY, make_deployment

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def document(*events: str) -> str:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//x//x//EN"]
    for number, event in enumerate(events):
        lines += ["BEGIN:VEVENT", f"UID:{number}", "DTSTAMP:20260101T000000Z", *event.split("|"), "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


def day(at: datetime, summary: str = "Holiday", days: int = 1) -> str:
    start, end = f"{at:%Y%m%d}", f"{at + timedelta(days=days):%Y%m%d}"
    return f"DTSTART;VALUE=DATE:{start}|DTEND;VALUE=DATE:{end}|SUMMARY:{summary}"


def make_calendar(name: str = "holidays", ics: str | None = None) -> Calendar:
    return create_calendar(name=name, ics=ics or document(day(timezone.now())), now=timezone.now())


def used(calendar: Calendar, name: str = "nightly") -> Deployment:
    deployment = make_deployment(name)
    new = NewSchedule(definition=HOURLY, calendars=[calendar.name])
    add_schedules(deployment_id=deployment.pk, new=[new], now=timezone.now())
    return deployment


def next_run() -> datetime:
    return FlowRun.objects.order_by("expected_start_time").values_list("expected_start_time", flat=True)[0]


def text_of(answer) -> str:
    return " ".join(answer.content.decode().split())


def test_the_next_events_come_in_order_also_of_series():
    weekly = "DTSTART:20200106T220000Z|DTEND:20200107T020000Z|RRULE:FREQ=WEEKLY;BYDAY=MO|SUMMARY:Works"
    text = document(day(NOON - timedelta(days=9)), day(NOON, days=3), weekly, day(NOON + timedelta(days=60)))

    events = upcoming_events(text, after=NOON, count=4)

    assert [(f"{one.begin:%d %b %H}", one.summary, one.is_all_day) for one in events] == [
        ("01 Jun 00", "Holiday", True),
        ("01 Jun 22", "Works", False),
        ("08 Jun 22", "Works", False),
        ("15 Jun 22", "Works", False),
    ]
    assert f"{events[0].last_day:%d %b}" == "03 Jun"


def test_an_empty_list_explains_how_to_begin(browser: Client):
    page = browser.get("/calendars").content.decode()

    assert "orion calendar import holidays.ics" in page
    assert 'href="/calendars"' in browser.get("/schedule").content.decode()


def test_a_file_is_uploaded_and_named_after_itself(browser: Client):
    text = document(day(timezone.now() + timedelta(days=2), "Founding day"))
    file = SimpleUploadedFile("bavaria.ics", ("\ufeff" + text).encode())

    answer = browser.post("/calendars/new", {"file": file, "description": "Days off"}, follow=True)

    one = Calendar.objects.get()
    assert answer.redirect_chain == [(f"/calendars/{one.pk}", 302)]
    assert (one.name, one.description) == ("bavaria", "Days off")
    assert "Founding day" in answer.content.decode()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"name": "x"}, "Choose a file, or write its text."),
        ({"name": "x", "ics": "nonsense"}, "iCalendar document"),
        ({"name": "", "ics": document(day(NOON))}, "required"),
        ({"name": "a/b", "ics": document(day(NOON))}, "A name must not contain"),
        ({"name": "x", "ics": "\x00"}, "Null characters"),
    ],
)
def test_what_is_no_calendar_is_refused(browser: Client, sent, words):
    answer = browser.post("/calendars/new", sent)

    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Calendar.objects.exists()


def test_the_list_shows_the_next_event_and_the_number_of_users(browser: Client):
    one = make_calendar(ics=document(day(timezone.now() + timedelta(days=1), "Founding day")))
    used(one)
    make_calendar("past", document(day(NOON - timedelta(days=900))))

    text = text_of(browser.get("/calendars"))

    assert "Founding day" in text
    assert f'<a href="/calendars/{one.pk}#uses">1 schedule</a>' in text
    assert "none to come" in text


def test_its_page_lists_the_schedules_that_use_it(browser: Client):
    one = make_calendar()
    deployment = used(one)

    text = text_of(browser.get(f"/calendars/{one.pk}"))

    assert "<title>holidays · 1 schedule · Orion</title>" in text
    assert f'href="/deployments/{deployment.pk}?tab=schedules"' in text


def test_it_is_changed(browser: Client):
    one = make_calendar()
    text = document(day(timezone.now() + timedelta(days=3), "Another day"))

    browser.post(f"/calendars/{one.pk}/edit", {"name": "days", "description": "x", "ics": text})

    one.refresh_from_db()
    assert (one.name, one.description) == ("days", "x")
    assert "Another day" in one.ics


def test_an_unused_calendar_is_deleted(browser: Client):
    one = make_calendar()

    answer = browser.post(f"/calendars/{one.pk}/delete", follow=True)

    assert answer.redirect_chain == [("/calendars", 302)]
    assert not Calendar.objects.exists()


def test_one_that_is_used_stays_unless_it_is_to_be_taken_out(browser: Client):
    one = make_calendar(ics=document(day(timezone.now(), days=4)))
    used(one)
    assert next_run() > timezone.now() + timedelta(days=2)

    refused = browser.post(f"/calendars/{one.pk}/delete", follow=True)
    assert "is named by one schedule" in refused.content.decode()
    done = browser.post(f"/calendars/{one.pk}/delete", {"uses": "too"}, follow=True)

    assert "plan the times that it left out" in done.content.decode()
    assert not Calendar.objects.exists()
    assert next_run() < timezone.now() + timedelta(hours=2)


def test_every_schedule_that_used_it_plans_again(db):
    one = make_calendar(ics=document(day(timezone.now(), days=4)))
    deployments = [used(one, f"d-{number}") for number in range(3)]

    delete_calendar_with_uses(calendar_id=one.pk, now=timezone.now())

    soon = FlowRun.objects.filter(expected_start_time__lt=timezone.now() + timedelta(hours=2))
    assert {run.deployment_id for run in soon} == {each.pk for each in deployments}


def test_pages_take_a_constant_number_of_queries(browser: Client, django_assert_max_num_queries):
    for number in range(25):
        one = make_calendar(f"c-{number:02}")
    for number in range(5):
        used(one, f"d-{number}")

    with django_assert_max_num_queries(12):
        first = browser.get("/calendars")
    with django_assert_max_num_queries(12):
        browser.get(f"/calendars/{one.pk}")
    assert len(first.context["found"].rows) == 20
    assert len(browser.get("/calendars" + first.context["next"]).context["found"].rows) == 5


def test_texts_of_calendars_are_texts(browser: Client):
    one = make_calendar(ics=document(day(timezone.now(), HOSTILE)))
    Calendar.objects.update(description=HOSTILE)

    for path in ("/calendars", f"/calendars/{one.pk}", f"/calendars/{one.pk}/edit"):
        assert HOSTILE not in browser.get(path).content.decode()


def test_an_unreadable_calendar_is_reported(browser: Client):
    one = make_calendar()
    Calendar.objects.update(ics="nonsense")

    assert "iCalendar document" in browser.get("/calendars").content.decode()
    assert browser.get(f"/calendars/{one.pk}").status_code == 200


def test_what_is_not_there_is_missing(browser: Client):
    for act in ("", "/edit"):
        assert browser.get(f"/calendars/{uuid4()}{act}").status_code == 404
    assert browser.post(f"/calendars/{uuid4()}/delete").status_code == 404
