"""Expire pauses and finish cancellations. Several processes may call both at any time."""

from __future__ import annotations

from datetime import datetime, timedelta
from operator import itemgetter
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from orchestration.core.states import StateType, cancelled, cancelling, failed
from orchestration.services import propose_flow_run_state, propose_task_run_state
from runs.models import FlowRun, FlowRunState, TaskRun

BATCH = 200
TASKS_PER_RUN = 100
# A cancelled run that was not cleaned up for a day has no process left that writes to it.
CLEAN_UP_WINDOW = timedelta(days=1)


def fail_expired_pauses(now: datetime) -> int:
    """Fail the flow runs whose pause ended without an answer. Return their number."""
    expired = _expired_pauses(now)
    for run_id in expired:
        ended = failed("The flow was paused and never resumed.")
        propose_flow_run_state(run_id=run_id, proposed=ended, now=now, force=True, author="pause expiry")
    return len(expired)


def _expired_pauses(now: datetime) -> list[UUID]:
    paused = FlowRun.objects.in_state(StateType.PAUSED).values("state_id")
    states = FlowRunState.objects.filter(pk__in=paused).values_list("flow_run_id", "details__pause_timeout")
    # A pause without a timeout never expires.
    return [run_id for run_id, until in states if until and datetime.fromisoformat(until) < now][:BATCH]


def clean_up_cancelled(now: datetime) -> int:
    """Cancel unfinished task runs and nested flow runs of cancelled flow runs. Return their number."""
    return _cancel_task_runs(now) + _cancel_nested_runs(now)


def _cancel_task_runs(now: datetime) -> int:
    left = TaskRun.objects.open().filter(
        flow_run__state_type="CANCELLED", flow_run__state_timestamp__gt=now - CLEAN_UP_WINDOW
    )
    run_ids = list(left.order_by("flow_run_id", "pk").values_list("pk", flat=True)[: BATCH * TASKS_PER_RUN])
    for run_id in run_ids:
        ended = cancelled("The parent flow run was cancelled.")
        propose_task_run_state(run_id=run_id, proposed=ended, now=now, force=True, author="cancellation clean-up")
    return len(run_ids)


def _cancel_nested_runs(now: datetime) -> int:
    below_cancelled = TaskRun.objects.filter(
        pk=OuterRef("parent_task_run"),
        flow_run__state_type="CANCELLED",
        flow_run__state_timestamp__gt=now - CLEAN_UP_WINDOW,
    )
    # EXISTS for each unfinished run: with a join, SQLite's planner would start from all cancelled runs.
    left = FlowRun.objects.open().filter(Exists(below_cancelled), parent_task_run__isnull=False)
    # An agent that was asked to stop a run will do so; without an agent, no process would.
    ended_by_an_agent = Q(state_type="CANCELLING", deployment_id__isnull=False)
    # Sorted here, because with ORDER BY SQLite would scan the ids of all runs.
    runs = sorted(
        left.exclude(ended_by_an_agent).order_by().values_list("pk", "deployment_id")[:BATCH], key=itemgetter(0)
    )
    message = "The parent flow run was cancelled."
    for run_id, deployment_id in runs:
        # A deployed run has a process of its own, and an agent that stops it.
        ended = cancelling(message) if deployment_id else cancelled(message)
        propose_flow_run_state(
            run_id=run_id, proposed=ended, now=now, force=deployment_id is None, author="cancellation clean-up"
        )
    return len(runs)
