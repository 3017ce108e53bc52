"""A change of a deployment in the admin goes through its service: planned runs follow."""

from __future__ import annotations

import json

import pytest

from deployments.definitions.services.deployments import create_deployment
from deployments.models import Deployment
from deployments.schedules.services.schedules import NewSchedule
from runs.models import FlowRun
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


def test_a_deployment_that_is_deleted_in_the_admin_takes_its_planned_runs_along(browser, deployment):
    path = f"/admin/deployments/deployment/{deployment.pk}/delete/"

    answer = browser.post(path, {"post": "yes"})

    assert answer.status_code == 302
    assert (Deployment.objects.count(), FlowRun.objects.count()) == (0, 0)
