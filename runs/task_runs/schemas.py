"""Conversion of task runs between the API and the services."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from orchestration.api.answers import as_answer
from orchestration.api.states import stored_state_out
from orchestration.new_runs import NewTaskRun
from orionflow.contract import runs as contract
from orionflow.contract.runs import NewTaskRunIn, StateOut
from orionflow.contract.wire import Shaped
from runs.models import TaskRun, TaskRunState
from runs.schemas.policies import policy_in, task_run_policy_out
from runs.schemas.runs import times_of

TaskRunOut = Annotated[dict[str, Any], Shaped(contract.TaskRun)]


def new_task_run(sent: NewTaskRunIn) -> NewTaskRun:
    return NewTaskRun(
        task_key=sent.task_key,
        dynamic_key=sent.dynamic_key,
        flow_run_id=sent.flow_run_id,
        name=sent.name or f"{sent.task_key}-{sent.dynamic_key}"[:1024],
        tags=sent.tags,
        empirical_policy=policy_in(sent.empirical_policy),
        task_inputs=sent.task_inputs,
        cache_key=sent.cache_key,
        cache_expiration=sent.cache_expiration,
        task_version=sent.task_version,
    )


def task_run_out(run: TaskRun, state: TaskRunState | None, now: datetime) -> TaskRunOut:
    stored = stored_state_out(state, flow_run_id=run.flow_run_id, task_run_id=run.id) if state else None
    return task_run_in_state(run, stored, now)


def task_run_in_state(run: TaskRun, state: StateOut | None, now: datetime) -> TaskRunOut:
    """Return the answer for a run whose state was read already."""
    policy = task_run_policy_out(run.empirical_policy)
    return as_answer(contract.TaskRun, run, **times_of(run, now), state=state, empirical_policy=policy)
