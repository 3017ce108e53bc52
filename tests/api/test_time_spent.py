"""GET /flow_runs/{id}/time and /flow_runs/time: where the time went, in seconds and in words."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from tests.factories import make_flow_run, make_state

pytestmark = pytest.mark.django_db


def test_the_shares_of_a_run_add_up_to_the_whole(api):
    now = timezone.now()
    run = make_flow_run(make_state("SCHEDULED", scheduled_time=now - timedelta(hours=1)), now=now - timedelta(hours=2))
    api.send(f"/flow_runs/{run.id}/set_state", {"state": {"type": "PENDING"}})
    api.send(f"/flow_runs/{run.id}/set_state", {"state": {"type": "RUNNING"}})
    api.send(f"/flow_runs/{run.id}/set_state", {"state": {"type": "COMPLETED"}})

    answer = api.read(f"/flow_runs/{run.id}/time").json()

    assert answer["is_over"] is True
    assert sum(one["seconds"] for one in answer["shares"]) == pytest.approx(answer["seconds"])
    assert answer["seconds"] == pytest.approx(3600, abs=60)
    assert answer["shares"][0]["text"] == "Waited to be taken"


def test_all_runs_of_the_last_hours_are_summed_up(api):
    make_flow_run("COMPLETED", now=timezone.now() - timedelta(hours=2))
    make_flow_run("COMPLETED", now=timezone.now() - timedelta(hours=48))

    assert api.read("/flow_runs/time").json()["runs"] == 1
    assert api.read("/flow_runs/time?hours=72").json()["runs"] == 2


def test_missing_runs_and_invalid_periods_are_refused(api):
    assert api.read(f"/flow_runs/{uuid4()}/time").status_code == 404
    assert api.read("/flow_runs/time?hours=0").status_code == 422
    assert api.read("/flow_runs/time?hours=nan").status_code == 422
