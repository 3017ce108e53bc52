"""Rows for tests: plain functions with sensible defaults. States are set by the services, as everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from deployments.models import ConcurrencyLimit, Slot
from orchestration.core.states import State, StateDetails, StateType
from orchestration.new_runs import NewFlowRun, NewTaskRun
from runs.artifacts.services import NewArtifact, create_artifact
from runs.flow_runs.services import create_flow_run
from runs.flows.services import create_flow
from runs.models import Artifact, Flow, FlowRun, FlowRunState, Log, StateRow, TaskRun
from runs.states.selectors import states_of_task_run
from runs.task_runs.services import create_task_run

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)

_numbers = count(1)
# Tests may hand over the text of an answer.
IDS = {"deployment_id", "work_queue_id", "parent_task_run_id", "infrastructure_document_id"}


def make_state(type: str = "RUNNING", name: str = "", **fields: Any) -> State:
    """A state; keywords that are details (`cache_key=…`) go there."""
    given = {name: fields.pop(name) for name in list(fields) if name in StateDetails.__dataclass_fields__}
    return State(type=StateType(type), name=name, details=StateDetails(**given), **fields)


def make_flow(name: str | None = None, tags: Sequence[str] = (), now: datetime = NOON) -> Flow:
    flow, _ = create_flow(name=name or f"flow-{next(_numbers)}", tags=tags, now=now)
    return flow


def make_flow_run(
    state: str | State | None = "RUNNING", *, flow: Flow | None = None, now: datetime = NOON, **fields: Any
) -> FlowRun:
    """A flow run whose first state is `state`. `retries` and its kin go into its policy."""
    new = NewFlowRun(
        flow_id=(flow or make_flow(now=now)).pk,
        name=fields.pop("name", f"run-{next(_numbers)}"),
        empirical_policy=_policy(fields),
        tags=list(fields.pop("tags", [])),
        **{name: UUID(value) if name in IDS and isinstance(value, str) else value for name, value in fields.items()},
    )
    run, _ = create_flow_run(new=new, state=_state(state), now=now)
    return run


def make_task_run(
    state: str | State | None = "PENDING", *, flow_run: FlowRun | None = None, now: datetime = NOON, **fields: Any
) -> TaskRun:
    """A task run whose first state is `state`, in a running flow run."""
    number = next(_numbers)
    new = NewTaskRun(
        flow_run_id=(flow_run or make_flow_run(now=now)).pk,
        task_key=fields.pop("task_key", "examples.task"),
        dynamic_key=fields.pop("dynamic_key", str(number)),
        name=fields.pop("name", f"task-{number}"),
        empirical_policy=_policy(fields),
        **fields,
    )
    return create_task_run(new=new, state=_state(state), now=now).run


def make_limit(tag: str, slots: int, taken_by: Sequence[TaskRun] = (), now: datetime = NOON) -> ConcurrencyLimit:
    limit = ConcurrencyLimit.objects.create(tag=tag, concurrency_limit=slots)
    for task_run in taken_by:
        Slot.objects.create(limit=limit, task_run=task_run, taken_at=now)
    return limit


def make_log(message: str = "hello", *, flow_run: FlowRun | None = None, now: datetime = NOON, **fields: Any) -> Log:
    fields = {"name": "orion.flow_runs", "level": 20, "timestamp": now, **fields}
    return Log.objects.create(message=message, flow_run_id=flow_run and flow_run.pk, **fields)


def make_artifact(key: str | None = "report", *, now: datetime = NOON, **fields: Any) -> Artifact:
    return create_artifact(new=NewArtifact(key=key, **{"type": "markdown", "data": "# Report", **fields}), now=now)


def state_of(run: FlowRun | TaskRun | UUID) -> str | None:
    """The type of the run's state as it is stored now."""
    pk = run if isinstance(run, UUID) else run.pk
    found = TaskRun.objects.filter(pk=pk).values_list("state_type", flat=True)
    return (found or FlowRun.objects.filter(pk=pk).values_list("state_type", flat=True))[0]


def history_of(run: FlowRun | TaskRun) -> list[str]:
    """The names of the run's states in their order."""
    return [state.name for state in states_of(run)]


def states_of(run: FlowRun | TaskRun) -> list[StateRow]:
    """The states of the run in their order, also those that are folded into its row."""
    if isinstance(run, FlowRun):
        return list(FlowRunState.objects.filter(flow_run=run).order_by("seq"))
    return [*states_of_task_run(TaskRun.objects.get(pk=run.pk))]


def later(seconds: float = 1, since: datetime = NOON) -> datetime:
    return since + timedelta(seconds=seconds)


def _state(state: str | State | None) -> State | None:
    return make_state(state) if isinstance(state, str) else state


def _policy(fields: dict[str, Any]) -> dict[str, Any]:
    names = (
        "retries",
        "retry_delay",
        "retry_backoff_factor",
        "retry_delay_max",
        "retry_jitter_factor",
        "crash_retries",
        "overlap",
    )
    asked = {name: fields.pop(name) for name in names if name in fields}
    return {**fields.pop("empirical_policy", {}), **asked}
