"""Deployments on the wire: the fields that can be set, and a stored deployment.

A new field is a line in each of `DeploymentFields` and `Deployment`, a column of the server's model, and an option of
`flow.deploy`. `orion import`, `orion deploy` and `orion deployment inspect` use the fields from here, and so does the
dashboard's form for those with `Shown`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AliasChoices, Field, model_validator
from typing_extensions import TypedDict

from orionflow.contract.kinds import LOCATION_NAME
from orionflow.contract.policies import Overlap
from orionflow.contract.schedules import Definition, DeploymentSchedule, ScheduleCreate
from orionflow.contract.wire import (
    OWN,
    Details,
    JSONObject,
    MadeBy,
    Moment,
    Name,
    Names,
    Natural,
    Seconds,
    Shown,
    Stored,
    StrictWire,
    Tags,
    Text255,
    Together,
    Wire,
)

Within = Annotated[float, Field(gt=0, le=1e9, description="Seconds.")]
_FROM_PLAN = "From the time that it is planned for. Empty: any time."
Path = Annotated[str, Field(max_length=4096)]
# Only the name of a location: a folder may differ between machines.
LocationName = Annotated[str, Field(pattern=LOCATION_NAME)]
# A block as type and name, such as secret/db-password.
BLOCK_NAME = r"^[a-z0-9-]{1,255}/[a-z0-9-]{1,255}$"
BlockName = Annotated[str, Field(pattern=BLOCK_NAME, description="TYPE/NAME of a block.")]
Schedules = Annotated[list[ScheduleCreate], Field(max_length=1000)]

# Fields that much older clients send; they are ignored.
FORGOTTEN = frozenset(
    {"worker_pool_queue_id", "worker_pool_name", "worker_pool_queue_name", "work_pool_queue_name", "work_queue_id"}
)


class DeploymentFields(StrictWire):
    """The fields of a deployment that can be set at its creation and later. Null clears optional fields."""

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
    parameter_openapi_schema: JSONObject | None = None
    path: Path | None = None
    pull_steps: Annotated[list[JSONObject], Field(max_length=1000), Together] | None = None
    entrypoint: Path | None = None
    manifest_path: Path | None = None
    storage_document_id: UUID | None = None
    infrastructure_document_id: UUID | None = None
    overlap: Overlap | None = None
    crash_retries: Annotated[
        Natural | None,
        Shown(
            "Tries after a crash",
            "How often a run is tried again when its process died. Empty: as its code says.",
        ),
    ] = None
    concurrency_limit: Annotated[
        Natural | None, Shown("Limit", "How many of its runs may be pending or running. Empty: no limit.")
    ] = None
    must_start_within: Annotated[Within | None, Shown("Must start within, in seconds", _FROM_PLAN)] = None
    must_finish_within: Annotated[Within | None, Shown("Must finish within, in seconds", _FROM_PLAN)] = None
    result_storage: LocationName | None = None
    secrets: Annotated[list[BlockName], Field(max_length=100)] | None = None

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


class DeploymentCheck(DeploymentFields):
    """A deployment to validate without creating it; its flow is identified by its name."""

    name: Name
    flow_name: Name


class DeploymentUpdate(DeploymentFields):
    """Changes of a deployment. Only the fields that are sent are changed."""


# The fields of a deployment, without the names that Prefect's clients use for other fields of the same request.
FIELDS = tuple(
    name for name in DeploymentFields.model_fields if name not in {"is_schedule_active", "schedule", "infra_overrides"}
)


class Deployment(Stored):
    """A deployed flow: where its code is, with which parameters, and where it runs."""

    name: str
    version: str | None = None
    description: str | None = None
    flow_id: UUID
    schedule: dict[str, Any] | None = None
    is_schedule_active: bool = True
    paused: bool = False
    schedules: list[DeploymentSchedule] = []
    # Prefect's servers send this field under its older name, and may not send both.
    job_variables: Annotated[
        Details,
        Field(validation_alias=AliasChoices("infra_overrides", "job_variables"), serialization_alias="infra_overrides"),
    ] = {}
    parameters: Details = {}
    tags: Names = []
    work_queue_name: str | None = None
    work_pool_name: str | None = None
    last_polled: datetime | None = None
    status: str | None = None
    parameter_openapi_schema: dict[str, Any] | None = None
    enforce_parameter_schema: bool = False
    path: str | None = None
    pull_steps: list[dict[str, Any]] | None = None
    entrypoint: str | None = None
    manifest_path: str | None = None
    storage_document_id: UUID | None = None
    infrastructure_document_id: UUID | None = None
    created_by: MadeBy | None = None
    updated_by: MadeBy | None = None
    overlap: Annotated[Overlap, OWN] = Overlap.ALLOW
    crash_retries: Annotated[int | None, OWN] = None
    concurrency_limit: Annotated[int | None, OWN] = None
    must_start_within: Annotated[float | None, OWN] = None
    must_finish_within: Annotated[float | None, OWN] = None
    result_storage: Annotated[str | None, OWN] = None
    secrets: Annotated[Names, OWN] = []
    author: Annotated[str | None, OWN] = None


class PlanRequest(Wire):
    """How far to plan: the period, the minimum of time and of runs, and the maximum of runs."""

    start_time: Moment | None = None
    end_time: Moment | None = None
    min_time: Seconds | None = None
    min_runs: Annotated[int, Field(ge=0, le=1000)] | None = None
    max_runs: Annotated[int, Field(ge=0, le=1000)] | None = None


class SchemaCheck(Wire):
    # In JSON the field is `schema`, but pydantic models have a method of that name.
    json_schema: Annotated[JSONObject, Field(alias="schema")]
    values: JSONObject


class SchemaFlaws(TypedDict):
    """Texts about the whole; entries with a `property` or an `index` and `errors` of their own about its parts."""

    errors: list[Any]
    valid: bool
