"""Find flows in code by asking an agent, and deploy one that it found.

The request is a run of a flow that is part of the SDK: it is claimed, cancelled and logged like any other run. The
answer is an artifact of that run, and is treated as untrusted input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from deployments.definitions.core.code_sources import CodeSource
from deployments.definitions.services.deployments import create_deployment
from deployments.definitions.services.runs import RunOptions, create_run_of_deployment
from deployments.errors import DeploymentExists, JobVariablesMisfit
from deployments.models import Deployment
from deployments.schedules.services.schedules import NewSchedule
from orchestration.authors import OWNER, made_by
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.discovery import FoundFlow
from orionflow.contract.kinds import FINDER_ENTRYPOINT, FINDER_NAME
from runs.flows.services import create_flow
from runs.models import FlowRun

SCHEMA = {
    "title": "Parameters",
    "type": "object",
    "properties": {
        "pull_steps": {"title": "pull_steps", "type": "array", "items": {"type": "object"}, "position": 0},
        "module": {"title": "module", "type": "string", "position": 1},
    },
    "additionalProperties": False,
}
WITHOUT_VARIABLES = (
    "A search for flows sets none, so give each required variable a default in the template of the pool."
)
DESCRIPTION = "Finds the flows in some code, for “New deployment” of the dashboard. Its runs answer with an artifact."
# All that decides which code is executed, because deployments of earlier versions could be changed by other users.
COLUMNS: Mapping[str, Any] = {
    "entrypoint": FINDER_ENTRYPOINT,
    "path": None,
    "manifest_path": None,
    "pull_steps": None,
    "job_variables": {},
    "storage_document_id": None,
    "infrastructure_document_id": None,
    "description": DESCRIPTION,
    "parameters": {},
    "parameter_openapi_schema": SCHEMA,
    "enforce_parameter_schema": True,
}


@repeated_on_conflict
def ask_for_flows(*, source: CodeSource, pool_name: str, queue_name: str, now: datetime) -> FlowRun:
    """Create the run that an agent of this queue executes. Each queue has a deployment for it, created on first use.

    Raises JobVariablesMisfit if the pool requires job variables, because nobody may set those of a search.
    """
    with write_transaction():
        flow, _ = create_flow(name=FINDER_NAME, now=now)
        deployment, _ = create_deployment(
            flow_id=flow.pk,
            name=f"{pool_name}.{queue_name}"[:255],
            columns=COLUMNS,
            pool_name=pool_name,
            queue_name=queue_name,
            finds_flows=True,
            now=now,
        )
        # The user who asks names the code that is executed, so the run has only this user's rights to secrets.
        options = RunOptions(parameters=source.parameters(), created_by=made_by() or OWNER, finds_flows=True)
        try:
            run, _ = create_run_of_deployment(deployment_id=deployment.pk, options=options, state=None, now=now)
        except JobVariablesMisfit as error:
            reason = f"{str(error.details['reason']).rstrip('.')}. {WITHOUT_VARIABLES}"
            raise JobVariablesMisfit(pool=error.details["pool"], reason=reason) from error
        return run


@repeated_on_conflict
def deploy_found_flow(
    *,
    found: FoundFlow,
    source: CodeSource,
    name: str,
    columns: Mapping[str, Any],
    schedules: Sequence[NewSchedule],
    pool_name: str,
    queue_name: str,
    now: datetime,
) -> UUID:
    """Create a deployment of the flow, and return its id. Raises DeploymentExists and the errors of creating one."""
    with write_transaction():
        flow, _ = create_flow(name=found.name, now=now)
        if Deployment.objects.filter(flow_id=flow.pk, name=name).exists():
            raise DeploymentExists(flow=found.name, name=name)
        deployment, _ = create_deployment(
            flow_id=flow.pk,
            name=name,
            columns={
                "entrypoint": found.entrypoint,
                "pull_steps": source.pull_steps(),
                "parameter_openapi_schema": found.parameters or None,
                "version": found.version,
                "tags": list(found.tags),
                **columns,
            },
            schedules=schedules,
            pool_name=pool_name,
            queue_name=queue_name,
            now=now,
        )
        return deployment.pk
