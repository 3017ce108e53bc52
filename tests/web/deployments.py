"""Deployments for pages to show, made by their service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from deployments.definitions.services.deployments import create_deployment
from deployments.models import Deployment
from deployments.schedules.services.schedules import NewSchedule
from runs.models import FlowRun
from tests.web.rows import make_flow, make_run

# Its next run is half an hour away when the tests are read, so that it does not come while one of them looks.
_ANCHOR = (datetime.now(UTC) - timedelta(days=90, minutes=30)).replace(second=0, microsecond=0)
HOURLY = {"interval": 3600, "anchor_date": _ANCHOR.isoformat(), "timezone": "UTC"}
NIGHTLY = {"cron": "30 1 * * *", "timezone": "Europe/Berlin"}


def make_deployment(
    name: str = "nightly",
    *,
    flow: str = "etl",
    schedules: list[dict[str, Any]] | None = None,
    calendars: Sequence[str] = (),
    **columns: Any,
) -> Deployment:
    wanted = [NewSchedule(definition=one, calendars=list(calendars)) for one in schedules or []]
    made, _ = create_deployment(
        flow_id=make_flow(flow).pk,
        name=name,
        columns=columns,
        schedules=wanted,
        queue_name="default",
        now=timezone.now(),
    )
    return made


def add_run(deployment: Deployment, state: str = "COMPLETED", *, ago: timedelta, **columns: Any) -> FlowRun:
    """A run of the deployment that came so long ago, or will come where that is negative."""
    at: datetime = timezone.now() - ago
    if state == "SCHEDULED":
        columns = {"next_scheduled_start_time": at, **columns}
    return make_run(flow=deployment.flow, deployment_id=deployment.pk, state=state, at=at, **columns)
