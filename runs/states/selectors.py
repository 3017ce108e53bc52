"""The states of runs: the current ones of a whole page in one query, and the history of one run."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from deployments.models import WorkQueue
from orchestration.large import completed, without_large
from runs.models import FlowRun, FlowRunState, TaskRun, TaskRunState


def current_flow_run_states(runs: Iterable[FlowRun]) -> dict[UUID | None, FlowRunState]:
    """The current states of these flow runs, by the ids of the states."""
    ids = [run.state_id for run in runs if run.state_id]
    return dict(FlowRunState.objects.in_bulk(ids)) if ids else {}


def current_task_run_states(runs: Iterable[TaskRun]) -> dict[UUID | None, TaskRunState]:
    """The current states of these task runs, by the ids of the states."""
    ids = [run.state_id for run in runs if run.state_id]
    return dict(TaskRunState.objects.in_bulk(ids)) if ids else {}


def listed_flow_run_states(runs: Iterable[FlowRun]) -> dict[UUID | None, FlowRunState]:
    """The current states as lists show them, without large data, by their ids."""
    ids = [run.state_id for run in runs if run.state_id]
    rows = without_large(FlowRunState.objects.filter(pk__in=ids), "data") if ids else []
    return {row.pk: row for row in completed(list(rows), "data")}


def listed_task_run_states(runs: Iterable[TaskRun]) -> dict[UUID | None, TaskRunState]:
    """The current states as lists show them, without large data, by their ids."""
    ids = [run.state_id for run in runs if run.state_id]
    rows = without_large(TaskRunState.objects.filter(pk__in=ids), "data") if ids else []
    return {row.pk: row for row in completed(list(rows), "data")}


def pools_of(runs: Iterable[FlowRun]) -> dict[UUID | None, tuple[UUID, str]]:
    """Id and name of the work pool, by the id of the work queue; no query when no run is in a queue."""
    ids = {run.work_queue_id for run in runs if run.work_queue_id}
    if not ids:
        return {}
    queues = WorkQueue.objects.filter(pk__in=ids, work_pool__isnull=False)
    return {queue: (pool, name) for queue, pool, name in queues.values_list("pk", "work_pool_id", "work_pool__name")}
