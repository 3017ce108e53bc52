"""Task runs without a flow run that wait for a process that serves their task."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from runs.models import TaskRun, TaskRunState

# The process that runs a task repeats it by itself; it is somebody else's turn when that did not happen.
RETRIES_AFTER = timedelta(seconds=30)


def waiting_task_runs(*, task_keys: Collection[str], now: datetime, limit: int) -> list[UUID]:
    """The ids of those that are due, the one that waits longest first."""
    waiting = TaskRun.objects.unfinished().filter(state_type="SCHEDULED", flow_run=None, task_key__in=task_keys)
    retried = Q(state_name="AwaitingRetry", next_scheduled_start_time__gt=now - RETRIES_AFTER)
    due = waiting.filter(next_scheduled_start_time__lte=now).exclude(retried)
    return list(due.order_by("next_scheduled_start_time", "pk").values_list("pk", flat=True)[:limit])


def parameters_of(run_id: UUID) -> Any:
    """Where the parameters of a call were kept: the first state of its run says so, and not every later one."""
    scheduled = TaskRunState.objects.filter(task_run=run_id, type="SCHEDULED").order_by("seq")
    details = scheduled.values_list("details", flat=True).first()
    return (details or {}).get("task_parameters_id")
