"""The runs that are planned, for calendar programs."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from deployments.models import Deployment
from deployments.schedules.core.feeds import PlannedEvent, planned_feed
from runs.models import FlowRun

MOST = 1000


def feed_of_planned_runs(deployment_id: UUID | None, now: datetime) -> str:
    """The next runs of one deployment or of all, as an iCalendar document."""
    runs = list(_planned_runs(deployment_id, now)[:MOST])
    ids = {run.deployment_id for run in runs if run.deployment_id}
    names: dict[UUID | None, str] = dict(Deployment.objects.filter(pk__in=ids).values_list("pk", "name"))
    return planned_feed([_event(run, names.get(run.deployment_id)) for run in runs])


def _planned_runs(deployment_id: UUID | None, now: datetime) -> QuerySet[FlowRun]:
    planned = FlowRun.objects.filter(
        state_type="SCHEDULED", deployment_id__isnull=False, next_scheduled_start_time__gte=now
    )
    if deployment_id is not None:
        planned = planned.filter(deployment_id=deployment_id)
    fields = ("id", "name", "created", "deployment_id", "next_scheduled_start_time", "idempotency_key", "flow__name")
    return planned.select_related("flow").only(*fields).order_by("next_scheduled_start_time", "pk")


def _event(run: FlowRun, deployment: str | None) -> PlannedEvent:
    assert run.next_scheduled_start_time is not None
    return PlannedEvent(
        # A moment that is planned anew is the same event to whoever has subscribed.
        uid=(run.idempotency_key or f"{run.pk}@orion").replace(" ", "-"),
        at=run.next_scheduled_start_time,
        changed=run.created,
        summary=f"{run.flow.name}/{deployment}" if deployment else run.flow.name,
        description=f"Run {run.name}",
        url=f"{settings.ORION_UI_URL}/runs/{run.pk}",
    )
