"""Backfills over the API: previewed, made by a schedule of the deployment or by one that is sent, and steered."""

from __future__ import annotations

from uuid import uuid4

import pytest

from deployments.backfills.services.making import make_runs_of_backfills
from orchestration.database_clock import current_time
from tests.api.test_deployments import deploy

DAILY = {"cron": "0 6 * * *", "timezone": "UTC"}
JANUARY = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-31T23:59:59Z"}


def asked(deployment, **more):
    return {"deployment_id": deployment["id"], **JANUARY, **more}


def test_a_preview_counts_the_times_of_the_only_schedule_and_makes_nothing(api):
    made = deploy(api, schedules=[{"schedule": DAILY, "active": False, "parameters": {"n": 5}}]).json()

    answer = api.send("/backfills/preview", asked(made))

    plan = answer.json()
    assert (answer.status_code, plan["runs"], plan["left_out"], plan["completed"]) == (200, 31, 0, 0)
    assert plan["times"][0] == {
        "at": "2026-01-01T06:00:00+00:00",
        "local": "2026-01-01T06:00:00+00:00",
        "left_out_by": None,
    }
    assert plan["first_parameters"]["n"] == 5
    assert api.send("/backfills/filter").json() == []


def test_a_backfill_is_created_steered_and_listed(api):
    made = deploy(api).json()

    answer = api.send("/backfills/", asked(made, schedule=DAILY, name="january", at_once=2))

    one = answer.json()
    path = f"/backfills/{one['id']}"
    assert answer.status_code == 201
    assert (one["status"], one["total"], one["made"], one["tag"]) == ("active", 31, 0, "backfill:january")
    assert make_runs_of_backfills(current_time()) == 2
    assert api.read(path).json()["states"] == {"SCHEDULED": 2}
    assert [api.send(f"{path}/{act}").status_code for act in ("pause", "resume", "cancel")] == [204] * 3
    listed = api.send("/backfills/filter", {"backfills": {"deployment_id": {"any_": [made["id"]]}}}).json()
    assert [(each["status"], each["states"], each["ended"]) for each in listed] == [("cancelled", {"CANCELLED": 2}, 2)]
    runs = api.send("/flow_runs/filter", {"flow_runs": {"tags": {"all_": [one["tag"]]}}}).json()
    assert len(runs) == 2
    assert api.send(f"{path}/resume").status_code == 409


def test_the_name_of_another_is_refused(api):
    made = deploy(api).json()
    api.send("/backfills/", asked(made, schedule=DAILY, name="january"))

    answer = api.send("/backfills/", asked(made, schedule=DAILY, name="january"))

    assert answer.status_code == 409


def test_missing_objects_are_not_found(api):
    made = deploy(api).json()

    assert api.read(f"/backfills/{uuid4()}").status_code == 404
    assert api.send(f"/backfills/{uuid4()}/pause").status_code == 404
    assert api.send("/backfills/preview", asked({"id": str(uuid4())}, schedule=DAILY)).status_code == 404
    assert api.send("/backfills/", asked(made, schedule_id=str(uuid4()))).status_code == 404


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"schedule": {"cron": "nonsense"}},
        {"schedule": DAILY, "at_once": 0},
        {"schedule": DAILY, "end": "2025-01-01T00:00:00Z"},
        {"schedule": {"interval": 1}},
        {"schedule": DAILY, "start": "0001-01-01T00:00:00", "end": "9999-12-31T00:00:00+00:00"},
        {"schedule": DAILY, "name": "a/b"},
        {"schedule": DAILY, "calendars": ["nowhere"]},
    ],
)
def test_impossible_requests_are_refused(api, more):
    made = deploy(api).json()

    answer = api.send("/backfills/", asked(made, **more))

    assert answer.status_code in {404, 422}
