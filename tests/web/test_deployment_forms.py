"""A deployment is changed in a form, and copied under another name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from deployments.models import Deployment, Schedule
from runs.models import FlowRun
from tests.web.deployments import HOURLY, NIGHTLY, make_deployment


def filled_in(browser: Client, path: str) -> dict[str, Any]:
    form = browser.get(path).context["form"]
    values = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in values.items() if value not in (None, False)}


def test_what_is_saved_as_it_was_shown_changes_nothing(browser: Client):
    made = make_deployment(
        description="d",
        tags=["a", "b"],
        parameters={"x": 1},
        overlap="queue",
        concurrency_limit=3,
        must_finish_within=timedelta(minutes=30),
        schedules=[HOURLY],
    )
    before = (Deployment.objects.values().get(), list(FlowRun.objects.values_list("pk", flat=True)))
    path = f"/deployments/{made.pk}/edit"

    answer = browser.post(path, filled_in(browser, path))

    after = (Deployment.objects.values().get(), list(FlowRun.objects.values_list("pk", flat=True)))
    for row in (before[0], after[0]):
        del row["updated"]
    assert answer["location"] == f"/deployments/{made.pk}"
    assert after == before


def test_each_field_is_changed_and_planned_runs_follow(browser: Client):
    made = make_deployment(schedules=[HOURLY], concurrency_limit=1)
    path = f"/deployments/{made.pk}/edit"

    browser.post(
        path,
        filled_in(browser, path)
        | {
            "description": "New",
            "tags": "x, y",
            "parameters": '{"n": 2}',
            "work_queue": "gpu",
            "overlap": "skip",
            "concurrency_limit": "",
            "crash_retries": "2",
            "must_start_within": "60",
            "result_storage": "lake",
        },
    )

    made.refresh_from_db()
    assert (made.description, made.tags, made.parameters) == ("New", ["x", "y"], {"n": 2})
    assert (made.work_queue.name, made.overlap, made.concurrency_limit) == ("gpu", "skip", None)
    assert (made.crash_retries, made.must_start_within) == (2, timedelta(minutes=1))
    assert made.result_storage == "lake"
    # A run whose hour has come meanwhile stays as it was planned.
    planned = FlowRun.objects.filter(expected_start_time__gt=timezone.now())
    assert {tuple(run.tags) for run in planned} == {("auto-scheduled", "x", "y")}


@pytest.mark.parametrize("name", ["../lake", "Lake", "s3://bucket", "a b", "lake\n", "x" * 101])
def test_what_names_no_location_is_refused(browser: Client, name: str):
    made = make_deployment()
    path = f"/deployments/{made.pk}/edit"

    answer = browser.post(path, filled_in(browser, path) | {"result_storage": name})

    made.refresh_from_db()
    assert (answer.status_code, made.result_storage) == (422, None)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("parameters", "["),
        ("work_queue", ""),
        ("concurrency_limit", "-1"),
        ("must_start_within", "0"),
        ("overlap", "x"),
    ],
)
def test_errors_are_shown_at_their_field(browser: Client, name: str, text: str):
    made = make_deployment()
    path = f"/deployments/{made.pk}/edit"

    answer = browser.post(path, filled_in(browser, path) | {name: text})

    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [name]


def test_parameters_that_do_not_fit_the_schema_are_refused(browser: Client):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    made = make_deployment(parameter_openapi_schema=schema, enforce_parameter_schema=True)
    path = f"/deployments/{made.pk}/edit"

    answer = browser.post(path, filled_in(browser, path) | {"parameters": '{"n": "many"}'})

    assert "do not fit the schema" in answer.content.decode()


def values_of(deployment: Deployment) -> dict[str, Any]:
    return {one.name: getattr(deployment, one.attname) for one in Deployment._meta.concrete_fields}


def test_a_copy_has_everything_but_the_name_and_is_paused(browser: Client):
    made = make_deployment(
        schedules=[HOURLY, NIGHTLY],
        parameters={"x": 1},
        tags=["a"],
        overlap="queue",
        entrypoint="f.py:f",
        version="7",
        pull_steps=[{"step": "here"}],
        must_finish_within=timedelta(hours=1),
    )
    ended = Schedule.objects.filter(deployment=made).last()
    Schedule.objects.filter(pk=ended.pk).update(ends_at=ended.created - timedelta(days=1))

    browser.post(f"/deployments/{made.pk}/duplicate", {"name": "second", "paused": "on"})

    copy = Deployment.objects.get(name="second")
    assert copy.paused
    own = {"id", "created", "updated", "name", "paused", "created_by", "updated_by"}
    assert {name for name, value in values_of(copy).items() if value != values_of(made)[name]} <= own
    assert copy.schedules.count() == 1
    assert not FlowRun.objects.filter(deployment_id=copy.pk).exists()


def test_a_copy_never_replaces_another_deployment(browser: Client):
    made = make_deployment()
    other = make_deployment("other", tags=["mine"])

    answer = browser.post(f"/deployments/{made.pk}/duplicate", {"name": "other"})

    other.refresh_from_db()
    assert answer.status_code == 422
    assert other.tags == ["mine"]
