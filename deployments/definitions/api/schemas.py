"""Deployments on the wire."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from deployments.models import Deployment
from deployments.schedules.api.schemas import Definition, ScheduleCreate, ScheduleOut
from orchestration.api.states import StateCreate
from orchestration.core.runs import Overlap
from orionflow.contract.wire import JSONObject, Key, Name, Natural, StrictWire, Tags, Text255, Text1024
from runs.flow_runs.schemas import MadeBy
from runs.schemas.policies import FlowRunPolicyIn

Within = Annotated[float, Field(gt=0, le=1e9, description="Seconds.")]
Path = Annotated[str, Field(max_length=4096)]
Schedules = Annotated[list[ScheduleCreate], Field(max_length=1000)]

# What much older clients send; it means nothing any more.
FORGOTTEN = frozenset(
    {"worker_pool_queue_id", "worker_pool_name", "worker_pool_queue_name", "work_pool_queue_name", "work_queue_id"}
)


class DeploymentFields(StrictWire):
    """What may be said of a deployment at its creation and later."""

    version: Text255 | None = None
    description: str | None = None
    paused: bool | None = None
    is_schedule_active: bool | None = None
    schedules: Schedules | None = None
    schedule: Definition | None = None
    parameters: JSONObject | None = None
    tags: Tags | None = None
    work_queue_name: Name | None = None
    work_pool_name: Text255 | None = None
    job_variables: JSONObject | None = None
    infra_overrides: JSONObject | None = None
    enforce_parameter_schema: bool | None = None
    path: Path | None = None
    entrypoint: Path | None = None
    manifest_path: Path | None = None
    storage_document_id: UUID | None = None
    infrastructure_document_id: UUID | None = None
    overlap: Overlap | None = None
    crash_retries: Natural | None = None
    concurrency_limit: Natural | None = None
    must_start_within: Within | None = None
    must_finish_within: Within | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_name_for_each_thing(cls, sent: Any) -> Any:
        if not isinstance(sent, dict):
            return sent
        both = [sent[name] for name in ("job_variables", "infra_overrides") if sent.get(name) is not None]
        if len(both) == 2 and both[0] != both[1]:
            raise ValueError("job_variables and infra_overrides are two names of one field, and differ; send one")
        return {name: value for name, value in sent.items() if name not in FORGOTTEN}


class DeploymentCreate(DeploymentFields):
    name: Name
    flow_id: UUID
    parameter_openapi_schema: JSONObject | None = None
    pull_steps: Annotated[list[JSONObject], Field(max_length=1000)] | None = None


class DeploymentCheck(DeploymentFields):
    """A deployment that is only thought of; its flow is known by its name."""

    name: Name
    flow_name: Name
    parameter_openapi_schema: JSONObject | None = None
    pull_steps: Annotated[list[JSONObject], Field(max_length=1000)] | None = None


class DeploymentUpdate(DeploymentFields):
    """Only what is sent is changed."""

    parameter_openapi_schema: JSONObject | None = None
    pull_steps: Annotated[list[JSONObject], Field(max_length=1000)] | None = None


class DeploymentFlowRunCreate(StrictWire):
    """A run of a deployment, as far as it differs from what the deployment says."""

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


class OwnDeploymentOut(TypedDict, total=False):
    """What only Orion knows. It is told where it is not at its default: clients of Prefect 2 may refuse what is new."""

    overlap: str
    crash_retries: int
    concurrency_limit: int
    must_start_within: float
    must_finish_within: float


class DeploymentOut(OwnDeploymentOut):
    id: UUID
    created: datetime
    updated: datetime
    name: str
    version: str | None
    description: str | None
    flow_id: UUID
    schedule: dict[str, Any] | None
    is_schedule_active: bool
    paused: bool
    schedules: list[ScheduleOut]
    infra_overrides: dict[str, Any]
    parameters: dict[str, Any]
    tags: list[str]
    work_queue_name: str | None
    work_pool_name: str | None
    last_polled: datetime | None
    status: Literal["READY", "NOT_READY"]
    parameter_openapi_schema: dict[str, Any] | None
    enforce_parameter_schema: bool
    path: str | None
    pull_steps: list[dict[str, Any]] | None
    entrypoint: str | None
    manifest_path: str | None
    storage_document_id: UUID | None
    infrastructure_document_id: UUID | None
    created_by: MadeBy | None
    updated_by: MadeBy | None


_PLAIN = frozenset(
    {
        *("version", "description", "path", "entrypoint", "manifest_path", "storage_document_id"),
        *("infrastructure_document_id", "crash_retries", "concurrency_limit", "parameter_openapi_schema", "pull_steps"),
    }
)
_NEVER_NULL = frozenset({"parameters", "tags", "enforce_parameter_schema", "overlap"})
_PERIODS = frozenset({"must_start_within", "must_finish_within"})


def columns_of(sent: DeploymentCreate | DeploymentCheck | DeploymentUpdate) -> dict[str, Any]:
    """What was sent, by column. Null empties what may be empty, and else means nothing."""
    columns = {name: getattr(sent, name) for name in sent.model_fields_set & _PLAIN}
    columns |= {
        name: value for name in sent.model_fields_set & _NEVER_NULL if (value := getattr(sent, name)) is not None
    }
    for name in sent.model_fields_set & _PERIODS:
        seconds = getattr(sent, name)
        columns[name] = None if seconds is None else timedelta(seconds=seconds)
    variables = sent.job_variables if sent.job_variables is not None else sent.infra_overrides
    if variables is not None:
        columns["job_variables"] = variables
    if sent.paused is not None:
        columns["paused"] = sent.paused
    elif sent.is_schedule_active is not None:
        columns["paused"] = not sent.is_schedule_active
    return columns


def deployment_out(deployment: Deployment, schedules: list[ScheduleOut], *, ready: bool) -> DeploymentOut:
    """`work_queue`, with its pool, is expected to be loaded."""
    queue = deployment.work_queue
    return {
        "id": deployment.id,
        "created": deployment.created,
        "updated": deployment.updated,
        "name": deployment.name,
        "version": deployment.version,
        "description": deployment.description,
        "flow_id": deployment.flow_id,
        "schedule": schedules[0]["schedule"] if schedules else None,
        "is_schedule_active": not deployment.paused,
        "paused": deployment.paused,
        "schedules": schedules,
        "infra_overrides": deployment.job_variables,
        "parameters": deployment.parameters,
        "tags": deployment.tags,
        "work_queue_name": queue.name if queue else deployment.work_queue_name,
        "work_pool_name": queue.work_pool.name if queue and queue.work_pool else None,
        "last_polled": deployment.last_polled,
        "status": "READY" if ready else "NOT_READY",
        "parameter_openapi_schema": deployment.parameter_openapi_schema,
        "enforce_parameter_schema": deployment.enforce_parameter_schema,
        "path": deployment.path,
        "pull_steps": deployment.pull_steps,
        "entrypoint": deployment.entrypoint,
        "manifest_path": deployment.manifest_path,
        "storage_document_id": deployment.storage_document_id,
        "infrastructure_document_id": deployment.infrastructure_document_id,
        "created_by": deployment.created_by,
        "updated_by": deployment.updated_by,
        **_own_out(deployment),
    }


def _own_out(deployment: Deployment) -> OwnDeploymentOut:
    told = {
        "overlap": None if deployment.overlap == "allow" else deployment.overlap,
        "crash_retries": deployment.crash_retries,
        "concurrency_limit": deployment.concurrency_limit,
        "must_start_within": _seconds(deployment.must_start_within),
        "must_finish_within": _seconds(deployment.must_finish_within),
    }
    return cast(OwnDeploymentOut, {name: value for name, value in told.items() if value is not None})


def _seconds(period: timedelta | None) -> float | None:
    return None if period is None else period.total_seconds()
