"""Task runs: made once per call of a task in a flow run."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from uuid import UUID

from orchestration.beginnings import beginning
from orchestration.core.runs import Run
from orchestration.core.states import State
from orchestration.errors import FlowRunNotFound, TaskRunNotFound
from orchestration.stored import TASK_RUNS, NewTaskRun
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.ids import uuid7
from runs.models import FlowRun, TaskRun
from runs.services.flow_runs import delete_below_task_runs


@repeated_on_conflict
def create_task_run(
    *, new: NewTaskRun, run_id: UUID | None = None, state: State | None, now: datetime
) -> tuple[TaskRun, bool]:
    """The task run, and whether it is new: one call of one task in one flow run is stored once, and never changed."""
    with write_transaction():
        if run := _existing(new, run_id):
            return run, False
        if new.flow_run_id and not FlowRun.objects.filter(pk=new.flow_run_id).exists():
            raise FlowRunNotFound(id=new.flow_run_id)
        return _stored(new, run_id or uuid7(), state, now), True


def _stored(new: NewTaskRun, run_id: UUID, state: State | None, now: datetime) -> TaskRun:
    columns = {f.name: getattr(new, f.name) for f in fields(new)}
    run = TaskRun(id=run_id, **{**columns, "tags": list(new.tags)}, created=now)
    if state is None:
        run.save(force_insert=True)
        return run
    judged = Run(id=run_id, kind="task-run", tags=tuple(new.tags), flow_run_id=new.flow_run_id)
    first = beginning(TASK_RUNS, judged, state, policy=dict(new.empirical_policy), now=now)
    for name, value in first.columns.items():
        setattr(run, name, value)
    run.save(force_insert=True)
    first.store(now)
    return run


def _existing(new: NewTaskRun, run_id: UUID | None) -> TaskRun | None:
    same_id: TaskRun | None = TaskRun.objects.filter(pk=run_id).first() if run_id else None
    if same_id:
        return same_id
    if new.flow_run_id is None:
        return None
    calls = TaskRun.objects.filter(flow_run_id=new.flow_run_id, task_key=new.task_key, dynamic_key=new.dynamic_key)
    call: TaskRun | None = calls.first()
    return call


def update_task_run(*, run_id: UUID, name: str, now: datetime) -> None:
    with write_transaction():
        if not TaskRun.objects.filter(pk=run_id).update(name=name, updated=now):
            raise TaskRunNotFound(id=run_id)


@repeated_on_conflict
def delete_task_run(*, run_id: UUID) -> None:
    with write_transaction():
        doomed = TaskRun.objects.filter(pk=run_id)
        if not doomed.select_for_update().values("pk"):
            raise TaskRunNotFound(id=run_id)
        delete_below_task_runs(doomed.values("pk"))
        doomed._raw_delete(doomed.db)
