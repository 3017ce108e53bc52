"""A server whose clock differs from the database's: what it dates is found by those who ask the database's clock."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from deployments.models import WorkPool
from events.models import Automation
from events.recording.api.following import Following
from orchestration.database_clock import current_time
from orionflow.contract.events import EventFilter
from tests.events.automations import NOTHING, trigger
from tests.factories import NOON, make_flow_run

pytestmark = pytest.mark.django_db
EVERYTHING = {"occurred": {"since": "2026-01-01T00:00:00Z", "until": "2090-01-01T00:00:00Z"}}


@pytest.fixture(autouse=True)
def behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock of this server an hour back. A SQLite file, too, has a clock of its own here."""
    by_database = timezone.now
    monkeypatch.setattr("orchestration.database_clock.timezone", SimpleNamespace(now=by_database))
    monkeypatch.setattr("django.utils.timezone.now", lambda: by_database() - timedelta(hours=1))


@pytest.fixture
def browser() -> Client:
    return Client(headers={"host": "127.0.0.1:4200"})


@pytest.mark.parametrize("address", ["/api/flow_runs/{}/cancel", "/runs/{}/cancel"])
def test_those_who_follow_events_receive_a_cancellation(browser: Client, address: str):
    # Events of runs are recorded for automations.
    Automation.objects.create(name="a", trigger=trigger(), actions=[NOTHING], since=NOON)
    run = make_flow_run("SCHEDULED")
    following = Following(EventFilter.model_validate(EVERYTHING), current_time())
    following.begin(backfill=False)

    browser.post(address.format(run.pk), content_type="application/json")

    assert [one.event for one in following.read(current_time())] == ["prefect.flow-run.Cancelled"]


def test_a_worker_that_reports_is_online_wherever_it_is_read(api: Any, browser: Client):
    pool = WorkPool.objects.create(name="mill", type="process")

    api.send("/work_pools/mill/workers/heartbeat", {"name": "w1"})

    (worker,) = api.send("/work_pools/mill/workers/filter", {"workers": {"status": {"any_": ["ONLINE"]}}}).json()
    (line,) = browser.get("/agents").context["found"].lines
    assert (worker["status"], line.condition) == ("ONLINE", "live")
    assert api.read(f"/work_pools/{pool.name}").json()["status"] == "READY"
