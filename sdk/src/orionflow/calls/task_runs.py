"""Calls about task runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow import wire
from orionflow.calls import Call, Collection, present, selection
from orionflow.calls.flow_runs import explain, propose_state, read_history, read_states
from orionflow.contract.ids import uuid7
from orionflow.states import State

if TYPE_CHECKING:
    from orionflow.contract.explanations import HistoryBucket
    from orionflow.wire import OrchestrationResult, TaskRun, Why

TASK_RUNS: Collection[TaskRun] = Collection("/task_runs", lambda: wire.TaskRun)


def create_task_run(
    *,
    task_key: str,
    dynamic_key: str,
    flow_run_id: UUID | None = None,
    id: UUID | None = None,
    name: str | None = None,
    state: State[Any] | None = None,
    tags: Sequence[str] = (),
    task_version: str | None = None,
    task_inputs: Mapping[str, Any] | None = None,
    empirical_policy: Mapping[str, Any] | None = None,
    cache_key: str | None = None,
    cache_expiration: datetime | None = None,
) -> Call[TaskRun]:
    """Create a task run, or read the one that its flow run already has under this task key and dynamic key."""
    body = present(
        id=id or uuid7(),
        flow_run_id=flow_run_id,
        task_key=task_key,
        dynamic_key=dynamic_key,
        name=name,
        state=state,
        tags=list(tags),
        task_version=task_version,
        task_inputs=task_inputs,
        empirical_policy=empirical_policy,
        cache_key=cache_key,
        cache_expiration=cache_expiration,
    )
    return TASK_RUNS.create(body)


def read_task_run(task_run_id: UUID) -> Call[TaskRun]:
    """Read one task run by its id."""
    return TASK_RUNS.read(task_run_id)


def update_task_run(task_run_id: UUID, *, name: str) -> Call[None]:
    """Rename a task run."""
    return TASK_RUNS.update(task_run_id, {"name": name})


def delete_task_run(task_run_id: UUID) -> Call[None]:
    """Delete a task run with its states."""
    return TASK_RUNS.delete(task_run_id)


def set_task_run_state(
    task_run_id: UUID, state: State[Any], *, force: bool = False, epoch: int | None = None
) -> Call[OrchestrationResult]:
    """Propose a state for a task run and return the rules' verdict; the state's id makes the proposal repeatable."""
    return propose_state(TASK_RUNS, task_run_id, state, force=force, epoch=epoch)


def read_task_runs(
    *, sort: str | None = None, limit: int | None = None, offset: int = 0, **criteria: Any
) -> Call[list[TaskRun]]:
    """List the task runs that match the criteria (`flows=`, `flow_runs=`, `task_runs=`, `deployments=`)."""
    body = selection(sort=sort, limit=limit, offset=offset, **criteria)
    return TASK_RUNS.find(body)


def count_task_runs(**criteria: Any) -> Call[int]:
    """Count the task runs that match the criteria."""
    return TASK_RUNS.count(selection(**criteria))


def read_task_run_history(
    *, start: datetime, end: datetime, interval: timedelta, **criteria: Any
) -> Call[list[HistoryBucket]]:
    """Read counts of task runs by state, for each interval between two moments."""
    return read_history(TASK_RUNS, start, end, interval, criteria)


def read_task_run_states(task_run_id: UUID) -> Call[list[State[Any]]]:
    """Read the states of a task run, oldest first."""
    return read_states("task_run", task_run_id)


def explain_task_run(task_run_id: UUID | str) -> Call[Why]:
    """Explain why a task run is in its state, and what would make it move."""
    return explain(TASK_RUNS, task_run_id)
