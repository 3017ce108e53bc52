"""Backfills in forms: previewed, made, followed time by time, paused, resumed and cancelled."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from deployments.backfills.services.backfills import create_backfill
from deployments.backfills.services.making import make_runs_of_backfills
from deployments.backfills.services.planning import NewBackfill
from deployments.models import Backfill, Deployment
from deployments.schedules.services.calendars import create_calendar
from runs.models import FlowRun
from tests.factories import make_state
from tests.services.test_backfills import HOLIDAY
from tests.web.conftest import HOSTILE
from tests.web.deployments import NIGHTLY, make_deployment

JANUARY = {"start": "2026-01-01T00:00", "end": "2026-01-05T00:00"}
DAILY = {**JANUARY, "times": "interval", "every": "1", "unit": "days", "timezone": "UTC", "order": "oldest"}
SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string"},
        "n": {"type": "integer"},
        "day": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
    },
}


@pytest.fixture
def nightly(db: None) -> Deployment:
    return make_deployment(parameter_openapi_schema=SCHEMA)


def path_of(deployment: Deployment) -> str:
    return f"/deployments/{deployment.pk}/backfill"


def made(deployment: Deployment, days: int = 4, **more) -> Backfill:
    asked = NewBackfill(
        start=datetime(2026, 1, 1, tzinfo=UTC),
        end=datetime(2026, 1, days, tzinfo=UTC),
        definition={"interval": 86_400, "timezone": "UTC"},
        **more,
    )
    return create_backfill(deployment_id=deployment.pk, new=asked, now=timezone.now())


def text_of(answer) -> str:
    return " ".join(answer.content.decode().split())


def test_a_deployment_leads_to_its_form(browser: Client, nightly: Deployment):
    page = browser.get(f"/deployments/{nightly.pk}")

    assert f'href="{path_of(nightly)}"' in page.content.decode()
    assert browser.get(path_of(nightly)).context["draft"] is None


def test_schedules_are_offered_before_intervals_and_parameters_for_dates_before_texts(browser: Client):
    deployment = make_deployment(schedules=[NIGHTLY], parameter_openapi_schema=SCHEMA)

    form = browser.get(path_of(deployment)).context["form"]

    schedule = deployment.schedules.get()
    assert [key for key, _ in form.fields["times"].choices] == [str(schedule.pk), "interval", "cron"]
    assert [key for key, _ in form.fields["time_parameter"].choices] == ["", "day", "region"]


def test_a_preview_lists_the_runs_and_creates_none(browser: Client, nightly: Deployment):
    create_calendar(name="days-off", ics=HOLIDAY, now=timezone.now())
    asked = {**DAILY, "time_parameter": "day", "calendars": ["days-off"], "do": "preview"}

    answer = browser.post(path_of(nightly), asked)

    text = text_of(answer)
    assert answer.status_code == 200
    assert "4 runs" in text
    assert "Thu 01 Jan 2026 00:00 UTC" in text
    assert "2026-01-01" in text
    assert "1 time left out by calendars" in text
    assert "Inventory" in text
    assert not Backfill.objects.exists()


def test_with_scripts_only_the_preview_is_sent(browser: Client, nightly: Deployment):
    answer = browser.post(path_of(nightly), {**DAILY, "do": "preview"}, headers={"HX-Request": "true"})

    assert "<h1" not in answer.content.decode()
    assert "5 runs" in text_of(answer)


def test_a_backfill_is_made_and_its_page_opened(browser: Client, nightly: Deployment):
    asked = {**DAILY, "name": "january", "at_once": "2", "order": "newest", "parameters": '{"n": 7}'}

    answer = browser.post(path_of(nightly), asked, follow=True)

    one = Backfill.objects.get()
    assert answer.redirect_chain == [(f"/backfills/{one.pk}", 302)]
    assert (one.name, one.at_once, one.newest_first, one.parameters, one.total) == ("january", 2, True, {"n": 7}, 5)
    assert "<title>january · 0 of 5 · Orion</title>" in answer.content.decode()


def test_the_times_of_a_schedule_come_with_its_calendars(browser: Client):
    deployment = make_deployment(schedules=[NIGHTLY])

    browser.post(path_of(deployment), {**DAILY, "times": str(deployment.schedules.get().pk)})

    one = Backfill.objects.get()
    assert one.definition["cron"] == NIGHTLY["cron"]
    assert one.total == 4


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"every": ""}, "Say how long the interval is."),
        ({"times": "cron", "cron": "nonsense"}, "nonsense"),
        ({"times": "cron"}, "Write minute, hour"),
        ({"start": ""}, "required"),
        ({"start": "2099-01-01T00:00", "end": "2099-02-01T00:00"}, "in the future"),
        ({"every": "1", "unit": "seconds"}, "more than 10,000 times"),
        ({"at_once": "1000"}, "At most 100."),
        ({"timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"start": "0001-01-01T00:00"}, ""),
        ({"parameters": "[]"}, "JSON object"),
        ({"name": "a/b"}, "A name must not contain"),
    ],
)
def test_an_invalid_backfill_is_explained_and_not_created(browser: Client, nightly: Deployment, more, words):
    answer = browser.post(path_of(nightly), {**DAILY, **more})

    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Backfill.objects.exists()


def test_its_page_shows_how_far_it_has_come(browser: Client, nightly: Deployment):
    one = made(nightly, name="january", at_once=2)
    make_runs_of_backfills(timezone.now())
    first = FlowRun.objects.order_by("created").first()
    FlowRun.objects.filter(pk=first.pk).update(state_type="FAILED", state_name="Failed")

    answer = browser.get(f"/backfills/{one.pk}")

    text = text_of(answer)
    assert "1 of 4 runs</a> have ended" in text
    assert "/runs?state=failed&tag=backfill%3Ajanuary" in text
    assert "2 are to be made" in text
    assert [row.run is not None for row in answer.context["found"].rows] == [True, True]
    assert len(browser.get(f"/backfills/{one.pk}?tab=left").context["found"].rows) == 2


def test_every_number_is_that_of_the_list_it_leads_to(browser: Client, nightly: Deployment):
    one = made(nightly, name="january", at_once=3)
    make_runs_of_backfills(timezone.now())

    listed = browser.get(f"/runs?tag={one.tag}&state=scheduled")

    assert text_of(browser.get(f"/backfills/{one.pk}")).count("3 scheduled") == 1
    assert listed.content.decode().count('id="run-') == 3


@pytest.mark.parametrize(("state", "is_offered"), [("RUNNING", True), ("CANCELLING", False), ("CANCELLED", False)])
def test_a_cancellation_that_left_runs_open_may_be_repeated(
    browser: Client, nightly: Deployment, state: str, is_offered: bool
):
    one = made(nightly)
    make_runs_of_backfills(timezone.now())
    Backfill.objects.update(status="cancelled")
    FlowRun.objects.update(state_type=state, state_name=state.title())

    page = text_of(browser.get(f"/backfills/{one.pk}"))

    assert (f'action="/backfills/{one.pk}/cancel"' in page) == is_offered
    assert f'action="/backfills/{one.pk}/pause"' not in page
    browser.post(f"/backfills/{one.pk}/cancel")
    assert FlowRun.objects.get().state_type in ("CANCELLING", "CANCELLED")


def test_it_is_paused_resumed_and_cancelled(browser: Client, nightly: Deployment):
    one = made(nightly)
    make_runs_of_backfills(timezone.now())

    statuses = []
    for act in ("pause", "resume", "cancel"):
        answer = browser.post(f"/backfills/{one.pk}/{act}", follow=True)
        statuses.append((answer.status_code, Backfill.objects.get().status))

    assert statuses == [(200, "paused"), (200, "active"), (200, "cancelled")]
    assert FlowRun.objects.get().state_type == "CANCELLED"
    again = browser.post(f"/backfills/{one.pk}/resume", follow=True)
    assert "is cancelled" in again.content.decode()


def test_a_backfill_that_paused_itself_shows_why(browser: Client, nightly: Deployment):
    one = made(nightly)
    Backfill.objects.update(status="paused", problem=f"n is not a number {HOSTILE}")

    page = browser.get(f"/backfills/{one.pk}").content.decode()

    assert "n is not a number" in page
    assert HOSTILE not in page


def test_times_are_paged(browser: Client, nightly: Deployment):
    asked = NewBackfill(
        start=datetime(2026, 1, 1, tzinfo=UTC),
        end=datetime(2026, 1, 6, tzinfo=UTC),
        definition={"interval": 3_600, "timezone": "UTC"},
    )
    one = create_backfill(deployment_id=nightly.pk, new=asked, now=timezone.now())

    path, seen = f"/backfills/{one.pk}?tab=left", []
    while path:
        answer = browser.get(path)
        seen += [row.number for row in answer.context["found"].rows]
        path = answer.context["next"] and f"/backfills/{one.pk}{answer.context['next']}"

    assert seen == list(range(121))


def test_times_between_minutes_are_shown_with_their_seconds(browser: Client, nightly: Deployment):
    asked = NewBackfill(
        start=datetime(2026, 1, 1, tzinfo=UTC),
        end=datetime(2026, 1, 1, 0, 2, tzinfo=UTC),
        definition={"interval": 90, "timezone": "UTC"},
    )
    one = create_backfill(deployment_id=nightly.pk, new=asked, now=timezone.now())

    rows = browser.get(f"/backfills/{one.pk}?tab=left").context["found"].rows

    assert [row.text for row in rows] == ["Thu 01 Jan 2026 00:00 UTC", "Thu 01 Jan 2026 00:01:30 UTC"]


def test_pages_take_a_constant_number_of_queries(browser: Client, nightly, django_assert_max_num_queries):
    for number in range(5):
        made(nightly, days=28, name=f"b-{number}", at_once=20)
    make_runs_of_backfills(timezone.now())
    one = Backfill.objects.order_by("created").first()

    with django_assert_max_num_queries(12):
        browser.get(path_of(nightly))
    with django_assert_max_num_queries(12):
        browser.get(f"/backfills/{one.pk}")


def test_what_is_not_there_is_missing(browser: Client):
    assert browser.get(f"/backfills/{uuid4()}").status_code == 404
    assert browser.get(f"/deployments/{uuid4()}/backfill").status_code == 404
    assert browser.post(f"/backfills/{uuid4()}/cancel").status_code == 404


def test_a_completed_time_is_named_as_left_out(browser: Client, nightly: Deployment):
    made(nightly, days=2, at_once=2)
    make_runs_of_backfills(timezone.now())
    FlowRun.objects.update(state_type=make_state("COMPLETED").type)

    text = text_of(browser.post(path_of(nightly), {**DAILY, "do": "preview"}))

    assert "3 runs" in text
    assert "2 times left out, as they have a completed run" in text
