"""The versions of a deployment: what changed, when, by whom, and how many runs were due since."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from deployments.models import Deployment
from deployments.pages import versions
from orion_site.accounts.users import create_group, create_user
from tests.security.askers import PASSWORD, Asker
from tests.travelling import travelled
from tests.web.conftest import HOSTILE
from tests.web.deployments import add_run, make_deployment

NOON, MIDNIGHT = ({"cron": f"0 {hour} * * *", "timezone": "UTC"} for hour in (12, 0))


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with travelled(datetime(2026, 3, 2, 9, tzinfo=UTC)) as clock:
        yield clock


def change(browser: Client, deployment: Deployment, **fields: Any) -> None:
    answer = browser.patch(f"/api/deployments/{deployment.pk}", fields, content_type="application/json")
    assert answer.status_code < 300, answer.content


def versions_at(browser: Client, address: str) -> versions.Versions:
    found: versions.Versions = browser.get(address).context["versions"]
    return found


def test_each_change_shows_its_fields_its_author_and_the_runs_that_were_due_since(
    browser: Client, clock: time_machine.Traveller
):
    flow = make_deployment("other").flow
    body = {"name": "nightly", "flow_id": str(flow.pk), "version": "1.0", "parameters": {"region": "eu", "days": 1}}
    made = Deployment.objects.get(
        pk=browser.post("/api/deployments/", body, content_type="application/json").json()["id"]
    )
    address = f"/deployments/{made.pk}?tab=versions"
    clock.shift(1)
    add_run(made, ago=timedelta(), name="old")
    clock.shift(1)
    change(browser, made, version="1.1", parameters={"region": HOSTILE, "days": 1}, must_finish_within=90)
    clock.shift(1)
    browser.post(f"/deployments/{made.pk}/pause")
    change(browser, made, description="For readers.")
    change(browser, made, job_variables={"env": {"API_TOKEN": "hunter2"}})
    clock.shift(1)
    for name in ("new", "newer"):
        add_run(made, ago=timedelta(), name=name)

    rows = versions_at(browser, address).rows
    page = browser.get(address).content.decode()
    lists = [browser.get(f"/deployments/{made.pk}{row.runs_address}").context["found"] for row in rows]

    assert [[(one.name, one.before, one.after) for one in row.fields] for row in rows[:2]] == [
        [("job_variables.env", "", '{"API_TOKEN": "********"}')],
        [("must_finish_within", "", "1m 30s"), ("parameters.region", "eu", HOSTILE), ("version", "1.0", "1.1")],
    ]
    assert [row.entry.actor for row in rows] == ["local owner"] * 3
    assert [row.is_first for row in rows] == [False, False, True]
    assert [row.label for row in rows] == ["", "1.1", "1.0"]
    assert [row.runs.number for row in rows] == [len(found.page.rows) for found in lists] == [2, 0, 1]
    assert HOSTILE not in page
    assert "hunter2" not in page


def test_schedules_are_described_in_words(browser: Client):
    made = make_deployment(schedules=[NOON])
    (schedule,) = made.schedules.all()
    answer = browser.patch(
        f"/api/deployments/{made.pk}/schedules/{schedule.pk}", {"schedule": MIDNIGHT}, content_type="application/json"
    )
    assert answer.status_code < 300, answer.content

    (row,) = versions_at(browser, f"/deployments/{made.pk}?tab=versions").rows

    field = next(one for one in row.fields if one.name.endswith(": definition"))
    assert (field.before, field.after) == ("at 12:00 every day, UTC", "at 00:00 every day, UTC")


def test_a_deployment_whose_changes_are_not_recorded_says_so(browser: Client):
    page = browser.get(f"/deployments/{make_deployment().pk}?tab=versions").content.decode()

    assert "No change is recorded" in page
    assert "are not in the audit log" in page


def test_moments_that_cannot_be_stored_are_ignored(browser: Client):
    page, wrong = f"/deployments/{make_deployment().pk}", "0001-01-01T00:00:00%2B23:59"

    for address in (f"{page}?tab=runs&from={wrong}", f"{page}?tab=versions&after={wrong}~1", f"/audit?after={wrong}~1"):
        assert browser.get(address).status_code == 200


def test_pages_go_on_after_the_last_version_and_count_the_runs_up_to_it(
    browser: Client,
    clock: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_max_num_queries: Any,
):
    monkeypatch.setattr(versions, "VERSIONS_PER_PAGE", 2)
    made = make_deployment()
    for number in range(3):
        clock.shift(1)
        change(browser, made, parameters={"number": number})
        clock.shift(1)
        add_run(made, ago=timedelta(), name=f"run-{number}")

    with django_assert_max_num_queries(12):
        first = versions_at(browser, f"/deployments/{made.pk}?tab=versions")
    second = versions_at(browser, f"/deployments/{made.pk}{first.next}")

    assert [row.runs.number for row in first.rows] == [1, 1]
    assert [row.fields[0].after for row in second.rows] == ["0"]
    assert [row.runs.number for row in second.rows] == [1]
    assert (second.next, second.has_first) == ("", False)


def test_whoever_sees_a_deployment_sees_its_versions(browser: Client):
    seen, other = make_deployment("seen"), make_deployment("other")
    for one in (seen, other):
        change(browser, one, parameters={"region": "us"})
    create_user(name="ada", roles=["admin"])
    create_group(name="watchers", roles=["viewer:deployment:etl/seen"])
    carol = Asker()
    create_user(name="carol", password=PASSWORD, groups=["watchers"])
    carol.post("/login", {"username": "carol", "password": PASSWORD})

    pages = [carol.get(f"/deployments/{one.pk}?tab=versions") for one in (seen, other)]

    assert [page.status_code for page in pages] == [200, 404]
    assert len(pages[0].context["versions"].rows) == 1
    assert carol.get("/audit").status_code == 403


def test_a_schedule_that_is_added_is_not_the_first_version(browser: Client):
    made = make_deployment()
    answer = browser.post(
        f"/api/deployments/{made.pk}/schedules", [{"schedule": NOON}], content_type="application/json"
    )
    assert answer.status_code == 201, answer.content
    address = f"/deployments/{made.pk}?tab=versions"

    found = versions_at(browser, address)

    assert [row.is_first for row in found.rows] == [False]
    assert "are not in the audit log" in browser.get(address).content.decode()


def test_numbers_and_truth_values_are_told_apart(browser: Client):
    made = make_deployment(parameters={"dry": 1, "deep": {"fast": [0]}})
    change(browser, made, parameters={"dry": True, "deep": {"fast": [False]}})

    (row,) = versions_at(browser, f"/deployments/{made.pk}?tab=versions").rows

    assert [(one.name, one.before, one.after) for one in row.fields] == [
        ("parameters.deep.fast", "[0]", "[false]"),
        ("parameters.dry", "1", "true"),
    ]
