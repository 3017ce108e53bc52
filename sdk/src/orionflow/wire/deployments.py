"""The API's answers about deployments, as typed values."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AliasChoices, Field

from orionflow.wire.answer import Details, Names, Stored


class DeploymentSchedule(Stored):
    deployment_id: UUID | None = None
    schedule: dict[str, Any]
    active: bool = True
    parameters: Details = {}
    max_active_runs: int | None = None
    max_scheduled_runs: int | None = None
    max_runs: int | None = None
    ends_at: datetime | None = None
    misfire: str | None = None
    calendars: Names = []


class Deployment(Stored):
    name: str
    flow_id: UUID
    version: str | None = None
    description: str | None = None
    paused: bool = False
    schedules: list[DeploymentSchedule] = []
    tags: Names = []
    parameters: Details = {}
    parameter_openapi_schema: dict[str, Any] | None = None
    enforce_parameter_schema: bool = False
    # Servers of Prefect's make tell it under its older name, and may not tell it under both.
    job_variables: Annotated[Details, Field(validation_alias=AliasChoices("infra_overrides", "job_variables"))] = {}
    work_queue_name: str | None = None
    work_pool_name: str | None = None
    path: str | None = None
    entrypoint: str | None = None
    pull_steps: list[dict[str, Any]] | None = None
    status: str | None = None
    last_polled: datetime | None = None
    overlap: str | None = None
    crash_retries: int | None = None
    concurrency_limit: int | None = None
