"""Task runs without a flow run that wait for a process that serves their task."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import BooleanField, Exists, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.expressions import RawSQL
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce

from orionflow.contract.states import BETWEEN_ATTEMPTS
from runs.models import UNFINISHED_TYPES, HeldCall, TaskRun, TaskRunState
from runs.querysets import RunQuerySet

# The process that runs a task also retries it. Offer the run to others only if it has not done so by then.
RETRIES_AFTER = timedelta(seconds=30)
# A process that takes a call starts it soon, or, while it waits for a slot, keeps asking for one.
BEGINS_WITHIN = timedelta(seconds=30)
ASKS_WITHIN = timedelta(seconds=120)
BATCH = 200


def waiting_task_runs(*, task_keys: Collection[str], server: UUID, now: datetime, limit: int) -> list[UUID]:
    """Return the ids of due runs that no other server has offered, those that have waited longest first."""
    # `Coalesce` hides the key from SQLite's planner, which would otherwise read every run that the task ever had.
    waiting = _without_flow_run("SCHEDULED").alias(key=Coalesce("task_key", Value(""))).filter(key__in=task_keys)
    retried = Q(state_name__in=BETWEEN_ATTEMPTS, next_scheduled_start_time__gt=now - RETRIES_AFTER)
    offered_elsewhere = _held(now).exclude(server=server)
    due = waiting.filter(~Exists(offered_elsewhere), next_scheduled_start_time__lte=now).exclude(retried)
    return list(due.order_by("next_scheduled_start_time", "pk").values_list("pk", flat=True)[:limit])


def abandoned_task_runs(now: datetime) -> list[UUID]:
    """Return the ids of runs that a process took, but neither holds any more nor started nor asked to start.

    At most BATCH of them, those that have waited longest first.
    """
    return list(_abandoned(now).order_by("state_timestamp", "pk").values_list("pk", flat=True)[:BATCH])


def is_abandoned(run_id: UUID, now: datetime) -> bool:
    return _abandoned(now).filter(pk=run_id).exists()


def _abandoned(now: datetime) -> RunQuerySet:
    scheduled_before = TaskRunState.objects.filter(task_run=OuterRef("pk"), type="SCHEDULED")
    # Stored as text in UTC; one that is cut to seconds sorts before all times within its second.
    asks_since = f"{(now - ASKS_WITHIN).astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
    asked_at = Coalesce(KT("refusal__at"), Value(""), output_field=TextField())
    taken = _without_flow_run("PENDING").alias(asked_at=asked_at).filter(state_timestamp__lte=now - BEGINS_WITHIN)
    found: RunQuerySet = taken.filter(Exists(scheduled_before), ~Exists(_held(now)), asked_at__lt=asks_since)
    return found


def _held(now: datetime) -> QuerySet[HeldCall, HeldCall]:
    return HeldCall.objects.filter(task_run_id=OuterRef("pk"), held_until__gt=now)


# SQLite uses a partial index only for a query with exactly the same condition.
_UNFINISHED = f"({' OR '.join(f'runs_taskrun.state_type = {one!r}' for one in UNFINISHED_TYPES)})"


def _without_flow_run(state_type: str) -> RunQuerySet:
    unfinished = RawSQL(_UNFINISHED, (), output_field=BooleanField())  # noqa: S611 (it holds constants only)
    found: RunQuerySet = TaskRun.objects.filter(unfinished, state_type=state_type, flow_run=None)
    return found


def parameters_of(run_id: UUID) -> UUID | None:
    """Return the id under which the parameters of a call are stored. Only its run's first state is sure to have it."""
    scheduled = TaskRunState.objects.filter(task_run=run_id, type="SCHEDULED").order_by("seq")
    details = scheduled.values_list("details", flat=True).first()
    place = (details or {}).get("task_parameters_id")
    return UUID(place) if place else None
