"""Schedules and calendars over the API: added, changed, deleted, looked at beforehand, and fed to calendar programs."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from deployments.schedules.core.spread import shift_of
from tests.api.test_deployments import HALF_HOURLY, deploy, planned_runs

DAILY = {"cron": "0 6 * * *", "timezone": "Europe/Berlin"}
LOCAL = ("28T02:30:00+01:00", "29T03:00:00+02:00", "30T02:30:00+02:00")
HOLIDAYS = "\r\n".join(
    [
        *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:test", "BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z"),
        *("DTSTART;VALUE=DATE:20990102", "DTEND;VALUE=DATE:20990103", "SUMMARY:Holiday", "END:VEVENT"),
        *("END:VCALENDAR", ""),
    ]
)


def test_schedules_are_added_to_the_existing_ones(api):
    made = deploy(api, schedules=[{"schedule": HALF_HOURLY}]).json()
    path = f"/deployments/{made['id']}/schedules"

    answer = api.send(path, [{"schedule": DAILY, "parameters": {"deep": True}, "max_runs": 5}])

    (added,) = answer.json()
    assert answer.status_code == 201
    assert added["schedule"] == {**DAILY, "day_or": True}
    assert (added["active"], added["catchup"]) == (True, False)
    assert (added["runs_planned"], added["max_runs"]) == (3, 5)
    assert added.keys().isdisjoint({"misfire", "misfire_window", "calendars", "ends_at"})
    assert [each["id"] for each in api.read(path).json()] == [added["id"], made["schedules"][0]["id"]]
    assert [run["parameters"] for run in planned_runs(api, made)].count({"deep": True}) == 3


def test_a_schedule_is_changed_field_by_field(api):
    made = deploy(api, schedules=[{"schedule": HALF_HOURLY, "max_runs": 50}]).json()
    (schedule,) = made["schedules"]
    path = f"/deployments/{made['id']}/schedules"

    answer = api.call("PATCH", f"{path}/{schedule['id']}", {"catchup": True, "misfire_window": 90, "max_runs": None})

    (changed,) = api.read(path).json()
    assert (answer.status_code, answer.content) == (204, b"")
    assert (changed["misfire"], changed["catchup"], changed["misfire_window"]) == ("all", True, 90)
    assert (changed.get("max_runs"), changed["schedule"]) == (None, schedule["schedule"])
    assert len(planned_runs(api, made)) == 3


def test_a_spread_schedule_plans_every_run_by_the_shift_of_its_deployment(api):
    hourly = {"cron": "0 * * * *", "timezone": "UTC"}
    made = deploy(api, schedules=[{"schedule": {**hourly, "spread": 900, "spread_by": 899}}]).json()
    (schedule,) = made["schedules"]
    by = shift_of(UUID(made["id"]), 900)
    runs = planned_runs(api, made)

    why = api.read(f"/flow_runs/{runs[0]['id']}/why").json()
    moments = [datetime.fromisoformat(run["expected_start_time"]) for run in runs]
    path = f"/deployments/{made['id']}/schedules"
    api.call("PATCH", f"{path}/{schedule['id']}", {"schedule": hourly})

    assert schedule["schedule"] == {**hourly, "day_or": True, "spread": 900.0, "spread_by": by}
    assert {moment.minute * 60 + moment.second for moment in moments} == {by}
    assert f"those of this deployment come {timedelta(seconds=by)} after" in why["reasons"][0]["text"]
    assert "spread" not in api.read(path).json()[0]["schedule"]
    assert {run["expected_start_time"][14:19] for run in planned_runs(api, made)} == {"00:00"}


@pytest.mark.parametrize("spread", [0, -1, 86_401, "x"])
def test_a_spread_is_a_part_of_a_day(api, spread):
    assert deploy(api, schedules=[{"schedule": {**DAILY, "spread": spread}}]).status_code == 422


def test_a_schedule_is_switched_off_and_deleted(api):
    made = deploy(api, schedules=[{"schedule": HALF_HOURLY}]).json()
    path = f"/deployments/{made['id']}/schedules"
    one = f"{path}/{made['schedules'][0]['id']}"

    api.call("PATCH", one, {"active": False})
    without = planned_runs(api, made)
    api.call("PATCH", one, {"active": True})
    with_it = planned_runs(api, made)
    deleted = api.call("DELETE", one)

    assert (len(without), len(with_it)) == (0, 3)
    assert deleted.status_code == 204
    assert (api.read(path).json(), planned_runs(api, made)) == ([], [])
    assert api.call("DELETE", one).status_code == 404
    assert api.call("PATCH", one, {}).status_code == 404


@pytest.mark.parametrize(
    "schedule",
    [
        {"schedule": {"cron": "* * * *"}},
        {"schedule": {"rrule": "FREQ=NEVER"}},
        {"schedule": {"interval": -1}},
        {"schedule": {"interval": 60, "colour": "red"}},
        {"schedule": {}},
        {"schedule": HALF_HOURLY, "max_scheduled_runs": 51},
        {"schedule": HALF_HOURLY, "max_runs": 0},
        {"schedule": HALF_HOURLY, "misfire": "perhaps"},
    ],
)
def test_a_schedule_that_means_nothing_is_refused(api, schedule):
    made = deploy(api).json()

    assert api.send(f"/deployments/{made['id']}/schedules", [schedule]).status_code == 422
    assert api.read(f"/deployments/{made['id']}/schedules").json() == []


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"cron": "1," * 1000}, "at most 1000 characters"),
        ({"rrule": 5}, "a valid string"),
        ({"ics": "x" * 1_000_001}, "at most 1000000 characters"),
        ({"interval": 0, "timezone": "UTC"}, "greater than 0"),
        ({"interval": 60, "cron": "0 6 * * *"}, "cron"),
        ({"crom": "0 6 * * *"}, "one of the fields interval, cron, rrule and ics"),
        ("0 6 * * *", "one of the fields interval, cron, rrule and ics"),
    ],
    ids=lambda given: str(given)[:20],
)
def test_a_refusal_is_about_the_kind_of_schedule_that_was_meant(api, schedule, expected):
    answer = deploy(api, schedules=[{"schedule": schedule}])

    (complaint,) = answer.json()["exception_detail"]
    assert answer.status_code == 422
    assert complaint["loc"][:4] == ["body", "schedules", 0, "schedule"]
    assert expected in answer.json()["detail"]


def test_schedules_of_an_unknown_deployment_are_not_found(api):
    path = "/deployments/00000000-0000-0000-0000-000000000001/schedules"

    assert (api.read(path).status_code, api.send(path, []).status_code) == (404, 404)


def test_the_next_times_are_shown_for_a_stored_schedule_and_for_a_draft(api):
    api.send("/calendars/", {"name": "holidays", "ics": HOLIDAYS})
    noon = {"cron": "0 12 * * *", "timezone": "UTC"}
    made = deploy(
        api, schedules=[{"schedule": noon, "calendars": ["holidays"], "ends_at": "2099-01-04T00:00:00Z"}]
    ).json()
    asked = {"count": 4, "after": "2099-01-01T00:00:00Z"}

    stored = api.send(f"/deployments/{made['id']}/schedules/{made['schedules'][0]['id']}/preview", asked)
    draft = api.send("/schedules/preview", {**asked, "definition": noon, "calendars": ["holidays"]})

    days = [one["at"] for one in draft.json()]
    assert days == [f"2099-01-0{day}T12:00:00+00:00" for day in (1, 2, 3, 4)]
    assert [one["left_out"] for one in draft.json()] == [False, True, False, False]
    assert draft.json()[1]["note"] == "left out: Holiday"
    assert stored.json() == draft.json()[:3]


def test_the_preview_marks_changes_of_the_clocks(api):
    night = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}
    asked = {"definition": night, "count": 3, "after": "2026-03-27T12:00:00Z"}

    answer = api.send("/schedules/preview", asked).json()

    assert [one["local"] for one in answer] == [f"2026-03-{time}" for time in LOCAL]
    assert [one["note"] for one in answer] == [None, "clocks go forward: 02:30 does not exist, runs at 03:00", None]


def test_a_preview_of_what_means_nothing_is_refused(api):
    assert api.send("/schedules/preview", {"definition": {"cron": "nonsense"}}).status_code == 422
    assert api.send("/schedules/preview", {"definition": HALF_HOURLY, "calendars": ["nowhere"]}).status_code == 404


def test_planned_runs_are_fed_to_calendar_programs(api):
    made = deploy(api, schedules=[{"schedule": HALF_HOURLY}]).json()
    deploy(api, "other", schedules=[{"schedule": HALF_HOURLY}])

    whole, own = api.read("/schedules.ics"), api.read(f"/deployments/{made['id']}/schedule.ics")

    assert whole["Content-Type"] == own["Content-Type"] == "text/calendar; charset=utf-8"
    assert own.content.decode().startswith("BEGIN:VCALENDAR\r\n")
    assert (whole.content.count(b"BEGIN:VEVENT"), own.content.count(b"BEGIN:VEVENT")) == (6, 3)
    assert b"census/nightly" in own.content
    assert api.read("/deployments/00000000-0000-0000-0000-000000000001/schedule.ics").status_code == 404


def test_a_calendar_is_created_read_changed_and_deleted(api):
    made = api.send("/calendars/", {"name": "holidays", "ics": HOLIDAYS, "description": "Ours"})
    calendar = made.json()
    path = f"/calendars/{calendar['id']}"

    changed = api.call("PATCH", path, {"name": "days-off"})

    assert (made.status_code, changed.status_code) == (201, 204)
    assert api.read(path).json()["name"] == "days-off"
    asked = {"calendars": {"name": {"like_": "days"}}}
    assert [one["id"] for one in api.send("/calendars/filter", asked).json()] == [calendar["id"]]
    assert api.call("DELETE", path).status_code == 204
    assert (api.read(path).status_code, api.call("DELETE", path).status_code) == (404, 404)


def test_a_calendar_that_a_schedule_uses_stays(api):
    calendar = api.send("/calendars/", {"name": "holidays", "ics": HOLIDAYS}).json()
    deploy(api, schedules=[{"schedule": HALF_HOURLY, "calendars": ["holidays"]}])

    answer = api.call("DELETE", f"/calendars/{calendar['id']}")

    assert (answer.status_code, answer.json()["code"]) == (409, "calendar_in_use")


def test_a_calendar_has_its_name_alone_and_can_be_read(api):
    api.send("/calendars/", {"name": "holidays", "ics": HOLIDAYS})

    again = api.send("/calendars/", {"name": "holidays", "ics": HOLIDAYS})
    unreadable = api.send("/calendars/", {"name": "other", "ics": "nonsense"})

    assert (again.status_code, unreadable.status_code) == (409, 422)
    assert unreadable.json()["code"] == "bad_calendar"


def test_a_calendar_in_use_is_deleted_by_force_only(api):
    calendar = api.send("/calendars/", {"name": "holidays", "ics": HOLIDAYS}).json()
    made = deploy(api, schedules=[{"schedule": DAILY, "calendars": ["holidays"]}]).json()

    refused = api.call("DELETE", f"/calendars/{calendar['id']}")
    done = api.call("DELETE", f"/calendars/{calendar['id']}?force=true")

    assert (refused.status_code, done.status_code) == (409, 204)
    assert "calendars" not in api.read(f"/deployments/{made['id']}/schedules").json()[0]
