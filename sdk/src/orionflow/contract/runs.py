"""Flows, flow runs, task runs and their states on the wire: the fields that can be set, and their stored forms.

A column of flow runs that the API returns is a line of `FlowRun`; the server reads it from the row by that name.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field
from typing_extensions import TypedDict

from orionflow.contract.kinds import Verdict
from orionflow.contract.policies import Overlap, OverlapScope, RetryType
from orionflow.contract.states import StateDetails, StateType
from orionflow.contract.wire import (
    JSON,
    OWN,
    Answer,
    Details,
    JSONObject,
    Key,
    MadeBy,
    Moment,
    Name,
    Names,
    Natural,
    Seconds,
    Shaped,
    Stored,
    StrictWire,
    Tags,
    Text255,
    Text1024,
    Wire,
)

# --- states ---------------------------------------------------------------------------------------------------------


class StateCreate(StrictWire):
    """A state that a client proposes. The server's clock stamps it, except in a batch."""

    type: StateType
    name: Text255 | None = None
    message: str | None = None
    data: JSON = None
    state_details: StateDetails | None = None
    timestamp: Moment | None = None
    id: UUID | None = None


class SetState(Wire):
    state: StateCreate
    force: bool | None = False


class StateOut(TypedDict):
    """One state of one run."""

    id: UUID
    type: StateType
    name: str
    timestamp: datetime
    message: str | None
    data: Any
    state_details: Annotated[dict[str, Any], Shaped(StateDetails)]


class StatesOfFlowRun(Wire):
    flow_run_id: UUID


class StatesOfTaskRun(Wire):
    task_run_id: UUID


class VerdictDetails(Answer):
    """Why the rules decided so, and for WAIT how long to wait."""

    type: str | None = None
    # ACCEPT has no reason, and only WAIT has a delay; the fields are omitted then, like Orion's own fields.
    reason: Annotated[str | None, OWN] = None
    delay_seconds: Annotated[int | None, OWN] = None


class OrchestrationResult(Answer):
    """The verdict on a proposed state, and the run's state after it."""

    status: Verdict
    details: VerdictDetails = Field(default_factory=VerdictDetails)
    state: StateOut | None = None


# --- policies -------------------------------------------------------------------------------------------------------

Factor = Annotated[float, Field(ge=0, le=1000)]


class RunPolicyIn(Wire):
    """The policy that authors set for their runs; the first two fields are names of older clients. Stored as sent."""

    max_retries: Natural | None = None
    retry_delay_seconds: Seconds | None = None
    retries: Natural | None = None
    retry_backoff_factor: Factor | None = None
    retry_delay_max: Seconds | None = None
    retry_jitter_factor: Factor | None = None
    crash_retries: Natural | None = None


class FlowRunPolicyIn(RunPolicyIn):
    retry_delay: Seconds | None = None
    overlap: Overlap | None = None
    overlap_scope: OverlapScope | None = None
    pause_keys: list[str] | None = None
    resuming: bool | None = None
    retry_type: RetryType | None = None


class TaskRunPolicyIn(RunPolicyIn):
    retry_delay: Seconds | Annotated[list[Seconds], Field(max_length=1000)] | None = None


# Pydantic declares these fields as required, because those of the enclosing answer are.
_MAY_BE_ABSENT = ConfigDict(json_schema_extra=lambda schema: schema.pop("required", None))


class RunPolicyOut(TypedDict, total=False):
    """A stored policy. Orion's own fields are only included if they are not at their default."""

    max_retries: int
    retry_delay_seconds: float
    retries: int | None
    retry_delay: float | list[float] | None
    retry_backoff_factor: float
    retry_delay_max: float
    retry_jitter_factor: float | None
    crash_retries: int
    crash_count: int


class FlowRunPolicyOut(RunPolicyOut, total=False):
    """The stored policy of a flow run."""

    __pydantic_config__ = _MAY_BE_ABSENT  # type: ignore[misc]

    handovers: int
    overlap: Overlap
    overlap_scope: OverlapScope
    pause_keys: list[str]
    resuming: bool
    retry_type: RetryType | None
    retried_from_task: bool


class TaskRunPolicyOut(RunPolicyOut, total=False):
    """The stored policy of a task run."""

    __pydantic_config__ = _MAY_BE_ABSENT  # type: ignore[misc]


_or_empty = BeforeValidator(lambda value: value or {})

# --- flows ----------------------------------------------------------------------------------------------------------


class FlowCreate(StrictWire):
    name: Name
    tags: Tags = []


class FlowUpdate(StrictWire):
    tags: Tags | None = None


class Flow(Stored):
    name: str
    tags: Names = []


# --- flow runs ------------------------------------------------------------------------------------------------------


class FlowRunCreate(StrictWire):
    """A flow run to create. With an `id` set by the sender the request may be repeated."""

    id: UUID | None = None
    state: StateCreate | None = None
    name: Text1024 | None = None
    flow_id: UUID
    flow_version: Text255 | None = None
    parameters: JSONObject = {}
    context: JSONObject = {}
    parent_task_run_id: UUID | None = None
    infrastructure_document_id: UUID | None = None
    empirical_policy: FlowRunPolicyIn | None = None
    tags: Tags = []
    idempotency_key: Key | None = None
    deployment_id: UUID | None = None
    # The process that executes the run, if its creator executes it: a server on that machine notices when the process
    # has ended.
    process: Text1024 | None = None
    environment_id: UUID | None = None


class FlowRunUpdate(StrictWire):
    """Changes of a flow run. Only the fields that are sent are changed."""

    name: Text1024 | None = None
    flow_version: Text255 | None = None
    parameters: JSONObject | None = None
    empirical_policy: FlowRunPolicyIn | None = None
    tags: Tags | None = None
    infrastructure_pid: Text1024 | None = None
    job_variables: JSONObject | None = None
    # The process that executes the run from now on, if the sender executes it.
    process: Text1024 | None = None
    environment_id: UUID | None = None


class Cancellation(StrictWire):
    """The body of a cancellation. With `detach`, nested runs that have a deployment continue as runs of their own."""

    message: Text1024 | None = None
    detach: bool = False


class Resume(Wire):
    run_input: JSONObject | None = None


class DeploymentFlowRunCreate(StrictWire):
    """A run of a deployment, with the fields that differ from the deployment."""

    state: StateCreate | None = None
    name: Text1024 | None = None
    parameters: JSONObject | None = None
    enforce_parameter_schema: bool | None = None
    context: JSONObject | None = None
    infrastructure_document_id: UUID | None = None
    empirical_policy: FlowRunPolicyIn | None = None
    tags: Tags | None = None
    idempotency_key: Key | None = None
    parent_task_run_id: UUID | None = None
    work_queue_name: Name | None = None
    job_variables: JSONObject | None = None


class Run(Stored):
    """The common fields of flow runs and task runs. Periods are in seconds, up to the moment of the answer."""

    name: str | None = None
    tags: Names = []
    state_id: UUID | None = None
    state_type: StateType | None = None
    state_name: str | None = None
    run_count: int = 0
    expected_start_time: datetime | None = None
    next_scheduled_start_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    total_run_time: float = 0.0
    estimated_run_time: float = 0.0
    estimated_start_time_delta: float = 0.0
    state: StateOut | None = None


class PolledFlowRun(Run):
    """A flow run in the form for workers."""

    flow_id: UUID
    deployment_id: UUID | None = None
    deployment_version: str | None = None
    work_queue_id: UUID | None = None
    work_queue_name: str | None = None
    flow_version: str | None = None
    parameters: Details = {}
    idempotency_key: str | None = None
    context: Details = {}
    empirical_policy: Annotated[FlowRunPolicyOut, _or_empty] = {}
    parent_task_run_id: UUID | None = None
    auto_scheduled: bool = False
    infrastructure_document_id: UUID | None = None
    infrastructure_pid: str | None = None
    created_by: MadeBy | None = None
    job_variables: Details = {}


class FlowRun(PolledFlowRun):
    work_pool_id: UUID | None = None
    work_pool_name: str | None = None
    environment_id: Annotated[UUID | None, OWN] = None


# --- task runs ------------------------------------------------------------------------------------------------------

# Text, because inputs are stored and compared as JSON.
UUIDText = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]


class FromTaskRun(TypedDict):
    """The input came from another task run."""

    input_type: Literal["task_run"]
    id: UUIDText


class FromParameter(TypedDict):
    """The input came from a parameter of the flow."""

    input_type: Literal["parameter"]
    name: str


class FromConstant(TypedDict):
    """The input is a constant in the flow's code."""

    input_type: Literal["constant"]
    type: str


TaskInput = Annotated[FromTaskRun | FromParameter | FromConstant, Field(discriminator="input_type")]
TaskInputs = dict[str, list[TaskInput]]


class NewTaskRunIn(StrictWire):
    """A task run to create."""

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


class TaskRun(Run):
    flow_run_id: UUID | None = None
    task_key: str
    dynamic_key: str
    cache_key: str | None = None
    cache_expiration: datetime | None = None
    task_version: str | None = None
    empirical_policy: Annotated[TaskRunPolicyOut, _or_empty] = {}
    task_inputs: Details = {}
    flow_run_run_count: int = 0
