"""The schedule of all deployments around now."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from deployments.models import Schedule
from deployments.pages.plan import Track
from deployments.pages.selectors import plan as selectors
from tests.web.conftest import HOSTILE
from tests.web.deployments import HOURLY, add_run, make_deployment

HOUR = timedelta(hours=1)


def tracks_at(browser: Client, query: str = "") -> list[Track]:
    return list(browser.get("/schedule" + query).context["tracks"])


def test_the_page_without_planned_runs_explains_what_it_shows(browser: Client):
    make_deployment()

    assert "Nothing is planned" in browser.get("/schedule").content.decode()


@pytest.mark.parametrize(("span", "number"), [("12h", 12), ("24h", 24), ("7d", 168), ("", 24)])
def test_a_schedule_shows_its_times_far_beyond_the_runs_that_are_planned_already(
    browser: Client, span: str, number: int
):
    make_deployment(schedules=[HOURLY])

    (track,) = tracks_at(browser, f"?span={span}")

    assert track.row.planned_count.number == number
    assert track.next == track.row.planned[0] > timezone.now()


@pytest.mark.parametrize("span", ["12h", "24h", "7d"])
def test_the_number_of_planned_times_leads_to_so_many(browser: Client, span: str):
    made = make_deployment(schedules=[HOURLY, {**HOURLY, "interval": 5400}])
    add_run(made, "SCHEDULED", ago=-HOUR * 5.5)
    add_run(made, "SCHEDULED", ago=-HOUR * 6.5, run_count=1)
    page = browser.get(f"/schedule?span={span}").content.decode()
    ((address, number),) = re.findall(r'data-label="planned"><a href="([^"]+)">(\d+)</a>', page)

    answer = browser.get(html.unescape(address))

    assert len(answer.context["ahead"].times) == answer.context["ahead"].count.number == int(number)


def test_a_list_of_planned_times_counts_what_it_omits(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("deployments.pages.selectors.deployment.MOST_AHEAD", 5)
    made = make_deployment(schedules=[HOURLY])

    answer = browser.get(f"/deployments/{made.pk}?tab=upcoming&within=12h")

    assert len(answer.context["ahead"].times) == 5
    assert "12 times in the next 12 hours, of which the first 5 are listed." in answer.content.decode()


def test_what_came_stands_left_of_now_and_late_runs_have_come(browser: Client):
    made = make_deployment(schedules=[HOURLY])
    add_run(made, "FAILED", ago=2 * HOUR)
    add_run(made, ago=HOUR)
    add_run(made, ago=100 * HOUR)

    answer = browser.get("/schedule")

    (track,) = answer.context["tracks"]
    assert [run.state_type for run in track.row.past] == ["FAILED", "COMPLETED"]
    assert [kind for kind, _ in track.paths] == ["FAILED", "COMPLETED"]
    assert "Past runs: 1 failed, 1 completed. Planned: 24." in answer.content.decode()


def test_the_number_of_past_runs_leads_to_so_many(browser: Client):
    made = make_deployment(schedules=[HOURLY])
    for hours in (1, 2, 3, 100):
        add_run(made, ago=hours * HOUR)
    add_run(make_deployment("other"), ago=HOUR)
    page = browser.get("/schedule").content.decode()

    numbers = re.findall(r'data-label="past"><a href="([^"]+)">(\d+)</a>', page)
    listed = [browser.get(html.unescape(address)).context["found"] for address, _ in numbers]

    assert sorted(int(number) for _, number in numbers) == [1, 3]
    assert [found.count.number for found in listed] == [int(number) for _, number in numbers]
    assert [len(found.page.rows) for found in listed] == [int(number) for _, number in numbers]


def test_runs_on_request_are_shown_as_planned(browser: Client):
    made = make_deployment()
    add_run(made, "SCHEDULED", ago=-2 * HOUR)

    (track,) = tracks_at(browser)

    assert track.row.planned_count.number == 1


def test_paused_deployments_and_ended_schedules_plan_nothing(browser: Client):
    paused = make_deployment("paused", schedules=[HOURLY])
    add_run(paused, ago=HOUR)
    browser.post(f"/deployments/{paused.pk}/pause")
    ended = make_deployment("ended", schedules=[HOURLY])
    Schedule.objects.filter(deployment=ended).update(ends_at=timezone.now() + 5 * HOUR)
    counted = make_deployment("counted", schedules=[HOURLY])
    planned = Schedule.objects.get(deployment=counted).runs_planned
    Schedule.objects.filter(deployment=counted).update(max_runs=planned + 2)

    counts = {track.row.deployment.name: track.row.planned_count.number for track in tracks_at(browser)}

    assert counts == {"paused": 0, "ended": 5, "counted": planned + 2}


def test_rows_are_ordered_by_what_comes_next_and_the_others_are_counted(
    browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(selectors, "MOST_ROWS", 2)
    for name, hours in (("third", 3), ("first", 1), ("second", 2)):
        add_run(make_deployment(name), "SCHEDULED", ago=-hours * HOUR)

    answer = browser.get("/schedule")

    assert [track.row.deployment.name for track in answer.context["tracks"]] == ["first", "second"]
    assert answer.context["found"].others.number == 1
    assert "1 more deployment" in answer.content.decode()


def test_too_many_runs_are_not_drawn_and_are_counted(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selectors, "MOST_PAST", 2)
    made = make_deployment()
    for number in range(3):
        add_run(made, ago=HOUR * (number + 1))

    answer = browser.get("/schedule")

    assert len(answer.context["tracks"][0].row.past) == 2
    assert "are not drawn: there are too many" in answer.content.decode()


def test_a_schedule_by_the_second_is_counted_up_to_a_cap(browser: Client):
    make_deployment(schedules=[{"interval": 1, "timezone": "UTC", "anchor_date": "2026-01-01T00:00:00+00:00"}])

    answer = browser.get("/schedule?span=7d")

    (track,) = answer.context["tracks"]
    assert track.row.planned_count.capped
    assert len(answer.content) < 60_000


def test_names_of_others_are_text_and_not_markup(browser: Client):
    add_run(make_deployment(HOSTILE, flow=HOSTILE.replace("/", "")), ago=HOUR)

    assert HOSTILE not in browser.get("/schedule").content.decode()


def test_the_page_costs_few_queries_for_many_deployments(browser: Client, django_assert_max_num_queries):
    for number in range(20):
        add_run(make_deployment(f"d-{number}", schedules=[HOURLY]), ago=HOUR)

    with django_assert_max_num_queries(8):
        browser.get("/schedule")
