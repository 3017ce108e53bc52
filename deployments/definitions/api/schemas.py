"""Deployments between the wire and the services. The contract defines their fields."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import DurationField

from deployments.definitions.services.deployments import COLUMNS
from deployments.definitions.services.only_schedule import SentSchedules
from deployments.models import Deployment
from deployments.schedules.api.schemas import definition_of, new_schedule
from orchestration.api.answers import as_answer
from orionflow.contract import deployments as contract
from orionflow.contract.deployments import DeploymentFields

# Clients use two names for each of these. `SentSchedules` decides about `paused`.
_OF_TWO_NAMES = frozenset({"paused", "job_variables"})


def columns_of(sent: DeploymentFields) -> dict[str, Any]:
    """Return the sent fields by column, except `paused`. Null empties a column that may be empty; others ignore it."""
    columns: dict[str, Any] = {}
    for name in sent.model_fields_set & COLUMNS.keys() - _OF_TWO_NAMES:
        column, value = COLUMNS[name], getattr(sent, name)
        if value is not None or column.null:
            columns[name] = timedelta(seconds=value) if isinstance(column, DurationField) and value else value
    variables = sent.job_variables if sent.job_variables is not None else sent.infra_overrides
    if variables is not None:
        columns["job_variables"] = variables
    return columns


def schedules_in(sent: DeploymentFields) -> SentSchedules:
    return SentSchedules(
        schedules=None if sent.schedules is None else [new_schedule(one) for one in sent.schedules],
        only=None if sent.schedule is None else definition_of(sent.schedule),
        only_was_sent="schedule" in sent.model_fields_set,
        is_schedule_active=sent.is_schedule_active,
        paused=sent.paused,
    )


def deployment_out(deployment: Deployment, schedules: list[dict[str, Any]], *, ready: bool) -> dict[str, Any]:
    """Return a deployment as an answer. `work_queue` must be loaded, with its pool."""
    queue = deployment.work_queue
    return as_answer(
        contract.Deployment,
        deployment,
        schedule=schedules[0]["schedule"] if schedules else None,
        is_schedule_active=not deployment.paused,
        schedules=schedules,
        author=deployment.author_name,
        work_queue_name=queue.name if queue else deployment.work_queue_name,
        work_pool_name=queue.work_pool.name if queue and queue.work_pool else None,
        status="READY" if ready else "NOT_READY",
    )
