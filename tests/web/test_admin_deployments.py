"""A change of a deployment in the admin goes through its service: planned runs follow."""

from __future__ import annotations

import json

import pytest

from deployments.definitions.services.deployments import create_deployment
from deployments.definitions.services.only_schedule import pause_or_resume
from deployments.models import Deployment, Schedule
from deployments.schedules.services.schedules import NewSchedule
from events.models import Event
from runs.models import FlowRun
from tests.services.dispatching import make_queue
from tests.web.rows import NOON, make_flow

pytestmark = pytest.mark.django_db
HOURLY = {"interval": 3600, "anchor_date": "2026-01-01T00:00:00+00:00", "timezone": "UTC"}


@pytest.fixture
def deployment():
    flow = make_flow()
    schedules = [NewSchedule(definition=HOURLY)]
    made, _ = create_deployment(flow_id=flow.pk, name="nightly", columns={}, schedules=schedules, now=NOON)
    return made


def form_of(browser, path):
    form = browser.get(path).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in values.items() if value not in (None, False)}


def test_a_deployment_that_is_paused_in_the_admin_has_no_planned_runs(browser, deployment):
    path = f"/admin/deployments/deployment/{deployment.pk}/change/"
    filled = form_of(browser, path)

    answer = browser.post(path, {**filled, "paused": "on", "tags": json.dumps(["a"])})

    deployment.refresh_from_db()
    assert answer.status_code == 302
    assert (deployment.paused, deployment.tags, FlowRun.objects.count()) == (True, ["a"], 0)


@pytest.mark.parametrize("paused", [True, False])
def test_the_only_schedule_of_a_deployment_is_paused_and_resumed_with_it_in_the_admin(browser, deployment, paused):
    pause_or_resume(deployment_id=deployment.pk, paused=not paused, now=NOON)
    path = f"/admin/deployments/deployment/{deployment.pk}/change/"
    filled = {**form_of(browser, path), "paused": "on", "description": "as written"}
    if not paused:
        del filled["paused"]

    browser.post(path, filled)

    deployment.refresh_from_db()
    assert (deployment.paused, deployment.description) == (paused, "as written")
    assert Schedule.objects.get().active is not paused
    assert FlowRun.objects.exists() is not paused


def test_a_queue_that_is_paused_in_the_admin_has_an_event_at_once(browser):
    queue = make_queue()
    path = f"/admin/deployments/workqueue/{queue.pk}/change/"

    answer = browser.post(path, {**form_of(browser, path), "is_paused": "on", "description": "as written"})

    queue.refresh_from_db()
    assert answer.status_code == 302
    assert (queue.is_paused, queue.description) == (True, "as written")
    assert Event.objects.filter(event="prefect.work-queue.paused").exists()


def test_a_deployment_that_is_deleted_in_the_admin_takes_its_planned_runs_along(browser, deployment):
    path = f"/admin/deployments/deployment/{deployment.pk}/delete/"

    answer = browser.post(path, {"post": "yes"})

    assert answer.status_code == 302
    assert (Deployment.objects.count(), FlowRun.objects.count()) == (0, 0)
