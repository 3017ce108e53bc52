"""One deployment's page: its facts and tabs."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client

from deployments.models import Deployment
from runs.models import FlowRun
from tests.web.conftest import HOSTILE
from tests.web.deployments import HOURLY, NIGHTLY, add_run, make_deployment

HOUR = timedelta(hours=1)
TABS = ["overview", "runs", "upcoming", "schedules", "parameters", "versions"]


def page_of(browser: Client, deployment: Deployment, query: str = "") -> str:
    return browser.get(f"/deployments/{deployment.pk}{query}").content.decode()


def test_the_overview_shows_the_deployment_and_its_next_runs(browser: Client):
    made = make_deployment(
        description="Counts **people**.",
        schedules=[NIGHTLY],
        overlap="queue",
        concurrency_limit=2,
        must_finish_within=timedelta(minutes=30),
        entrypoint="census.py:census",
    )

    page = page_of(browser, made)

    for text in (
        "<title>etl/nightly",
        "<strong>people</strong>",
        "at 01:30 every day, Europe/Berlin",
        "A run waits for the one before",
        "At most 2 at once",
        "Finishes within 30m",
        "census.py:census",
    ):
        assert text in page


def test_the_title_names_what_is_wrong(browser: Client):
    made = make_deployment()
    add_run(made, "FAILED", ago=HOUR)

    assert "<title>etl/nightly (failing) · Orion</title>" in page_of(browser, made)


def test_runs_are_those_that_have_come_and_planned_ones_are_counted_apart(browser: Client):
    made = make_deployment()
    add_run(made, "FAILED", ago=HOUR, name="bad", message="no disk")
    add_run(made, ago=2 * HOUR, name="good")
    add_run(made, "SCHEDULED", ago=-HOUR, name="planned")

    answer = browser.get(f"/deployments/{made.pk}?tab=runs")
    failed = browser.get(f"/deployments/{made.pk}?tab=runs&state=failed,crashed")

    assert [run.name for run in answer.context["found"].page.rows] == ["bad", "good"]
    assert (answer.context["found"].count.number, answer.context["planned"].number) == (2, 1)
    assert "no disk" in answer.content.decode()
    assert [run.name for run in failed.context["found"].page.rows] == ["bad"]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("", {"bad", "due", "late", "good"}),
        ("waiting", {"due", "late"}),
        ("late", {"late"}),
        ("failed,late", {"bad", "late"}),
        ("timed-out", set()),
        ("planned", {"planned"}),
    ],
)
def test_runs_are_chosen_by_each_state_of_the_form(browser: Client, state: str, expected: set[str]):
    made = make_deployment()
    add_run(made, "FAILED", ago=HOUR, name="bad")
    add_run(made, "SCHEDULED", ago=HOUR, name="due")
    add_run(made, "SCHEDULED", ago=HOUR, name="late", state_name="Late")
    add_run(made, ago=HOUR, name="good")
    add_run(made, "SCHEDULED", ago=-HOUR, name="planned")

    found = browser.get(f"/deployments/{made.pk}?tab=runs&state={state}").context["found"]

    assert {run.name for run in found.page.rows} == expected
    assert found.count.number == len(expected)


def test_a_state_that_there_is_not_is_reported(browser: Client):
    made = make_deployment()

    assert "There is no state" in page_of(browser, made, "?tab=runs&state=lost")


def test_upcoming_begins_with_the_next_run_and_its_number_is_the_one_of_the_head(browser: Client):
    made = make_deployment(schedules=[HOURLY])

    answer = browser.get(f"/deployments/{made.pk}?tab=upcoming")

    rows = answer.context["page"].rows
    times = [run.next_scheduled_start_time for run in rows]
    assert times == sorted(times)
    assert len(rows) == answer.context["planned"].number > 0


def test_the_times_of_the_next_day_name_their_runs_and_those_that_are_not_planned_yet(browser: Client):
    made = make_deployment(schedules=[HOURLY])
    add_run(made, "SCHEDULED", ago=-30 * HOUR, name="later")

    answer = browser.get(f"/deployments/{made.pk}?tab=upcoming&within=24h")

    times = answer.context["ahead"].times
    planned = [len(runs) for _, runs in times]
    assert len(times) == answer.context["ahead"].count.number == 24
    assert planned == sorted(planned, reverse=True)
    page = answer.content.decode()
    assert page.count("not planned yet") == planned.count(0) > 0
    assert "later" not in page


def test_the_page_shows_no_planned_runs_if_none_is_due_within_a_day(browser: Client):
    made = make_deployment()
    address = f"/deployments/{made.pk}?tab=upcoming&within=24h"
    idle = browser.get(address).content.decode()
    add_run(made, "SCHEDULED", ago=-30 * HOUR, name="later")

    later = browser.get(address).content.decode()

    assert "Nothing is planned" in idle
    assert "Nothing is planned in the next 24 hours" in later
    assert "no schedule" not in later
    assert '<a href="?tab=upcoming">All planned runs</a>' in later


def test_schedules_show_their_next_times_in_their_zone(browser: Client):
    made = make_deployment(schedules=[NIGHTLY])

    answer = browser.get(f"/deployments/{made.pk}?tab=schedules")

    (shown,) = answer.context["schedules"]
    assert len(shown.times) == 10
    assert all(one.text.endswith(("01:30 CET", "01:30 CEST")) for one in shown.times)
    assert shown.times[0].text in answer.content.decode()


def test_parameters_are_shown_with_their_types_and_where_they_come_from(browser: Client):
    schema = {
        "type": "object",
        "properties": {"region": {"type": "string", "default": "north"}, "day": {"type": "string"}},
        "required": ["day"],
    }
    made = make_deployment(parameter_openapi_schema=schema, parameters={"limit": 5})

    page = page_of(browser, made, "?tab=parameters")

    for text in ("region", "the flow's default", "each run must bring it", "limit", "this deployment"):
        assert text in page


@pytest.mark.parametrize("tab", TABS)
def test_empty_tabs_explain_what_to_do(browser: Client, tab: str):
    made = make_deployment()

    assert browser.get(f"/deployments/{made.pk}?tab={tab}").status_code == 200


def test_a_deployment_that_is_not_there_is_not_found(browser: Client):
    for path in ("", "/run-now", "/pause", "/resume", "/delete"):
        address = f"/deployments/{uuid4()}{path}"
        assert (browser.post(address) if path else browser.get(address)).status_code == 404


def test_deleting_takes_planned_runs_along_and_leaves_the_others(browser: Client):
    made = make_deployment(schedules=[HOURLY])
    add_run(made, ago=HOUR, name="old")

    answer = browser.post(f"/deployments/{made.pk}/delete", follow=True)

    assert "The deployment was deleted" in answer.content.decode()
    assert [run.name for run in FlowRun.objects.all()] == ["old"]


def test_texts_of_others_are_text_and_not_markup(browser: Client):
    made = make_deployment(
        HOSTILE.replace("/", ""), description=HOSTILE, tags=[HOSTILE], parameters={HOSTILE: HOSTILE}, version=HOSTILE
    )

    assert all(HOSTILE not in page_of(browser, made, f"?tab={tab}") for tab in TABS)


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_costs_few_queries(browser: Client, django_assert_max_num_queries, tab: str):
    made = make_deployment(schedules=[{"cron": f"{minute} * * * *", "timezone": "UTC"} for minute in range(12)])
    for number in range(40):
        add_run(made, "FAILED", ago=HOUR * (number + 1), message="no")

    with django_assert_max_num_queries(11):
        browser.get(f"/deployments/{made.pk}?tab={tab}")


@pytest.mark.parametrize(("tab", "part"), [("runs", "facts"), ("runs", "runs"), ("upcoming", "upcoming")])
def test_what_changes_can_be_asked_for_alone(browser: Client, tab: str, part: str):
    made = make_deployment(schedules=[HOURLY])

    answer = browser.get(f"/deployments/{made.pk}?tab={tab}&_f={part}")

    assert f'id="live-{part}"' in answer.content.decode()
    assert "<html" not in answer.content.decode()


@pytest.mark.parametrize("required", [True, 5, {"region": True}, "region"])
def test_a_schema_that_requires_no_list_of_names_is_shown(browser: Client, required):
    schema = {"type": "object", "properties": {"region": {"type": "string"}}, "required": required}
    made = make_deployment(parameter_openapi_schema=schema)

    answer = browser.get(f"/deployments/{made.pk}?tab=parameters")

    assert [row["is_required"] for row in answer.context["parameters"]] == [False]
