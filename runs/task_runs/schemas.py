"""Task runs on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, cast
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from orchestration.api.states import StateCreate, StateOut, stored_state_out
from orchestration.new_runs import NewTaskRun
from orionflow.contract.wire import Key, Moment, StrictWire, Tags, Text255, Text1024
from runs.models import TaskRun, TaskRunState
from runs.schemas.policies import TaskRunPolicyIn, TaskRunPolicyOut, policy_in, task_run_policy_out
from runs.schemas.runs import RunOut, run_out

# As text: inputs are stored as JSON, and compared as such.
UUIDText = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]


class FromTaskRun(TypedDict):
    """The input came out of another task run."""

    input_type: Literal["task_run"]
    id: UUIDText


class FromParameter(TypedDict):
    """The input came from a parameter of the flow."""

    input_type: Literal["parameter"]
    name: str


class FromConstant(TypedDict):
    """The input was written into the flow's code."""

    input_type: Literal["constant"]
    type: str


TaskInput = Annotated[FromTaskRun | FromParameter | FromConstant, Field(discriminator="input_type")]
TaskInputs = dict[str, list[TaskInput]]


class NewTaskRunIn(StrictWire):
    """What the maker of a task run says about it."""

    name: Text1024 | None = None
    flow_run_id: UUID | None = None
    task_key: Key
    dynamic_key: Key
    cache_key: Annotated[str, Field(max_length=2000)] | None = None
    cache_expiration: Moment | None = None
    task_version: Text255 | None = None
    empirical_policy: TaskRunPolicyIn | None = None
    tags: Tags = []
    task_inputs: TaskInputs = {}


class TaskRunCreate(NewTaskRunIn):
    id: UUID | None = None
    state: StateCreate | None = None


class TaskRunUpdate(StrictWire):
    name: Text1024 | None = None


class TaskRunOut(RunOut):
    flow_run_id: UUID | None
    task_key: str
    dynamic_key: str
    cache_key: str | None
    cache_expiration: datetime | None
    task_version: str | None
    empirical_policy: TaskRunPolicyOut
    task_inputs: TaskInputs
    flow_run_run_count: int


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
    told = stored_state_out(state, flow_run_id=run.flow_run_id, task_run_id=run.id) if state else None
    return task_run_told(run, told, now)


def task_run_told(run: TaskRun, told: StateOut | None, now: datetime) -> TaskRunOut:
    own = {
        **run_out(run, told, now),
        "flow_run_id": run.flow_run_id,
        "task_key": run.task_key,
        "dynamic_key": run.dynamic_key,
        "cache_key": run.cache_key,
        "cache_expiration": run.cache_expiration,
        "task_version": run.task_version,
        "empirical_policy": task_run_policy_out(run.empirical_policy),
        "task_inputs": run.task_inputs,
        "flow_run_run_count": run.flow_run_run_count,
    }
    return cast(TaskRunOut, own)
