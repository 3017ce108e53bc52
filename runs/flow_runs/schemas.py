"""Flow runs on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from orchestration.api.states import StateCreate, stored_state_out
from orionflow.contract.wire import JSONObject, Key, MadeBy, StrictWire, Tags, Text255, Text1024
from runs.models import FlowRun, FlowRunState
from runs.schemas.policies import FlowRunPolicyIn, FlowRunPolicyOut, flow_run_policy_out
from runs.schemas.runs import RunOut, run_out


class FlowRunCreate(StrictWire):
    """A flow run as its maker wants it. With an `id` of the maker's own the call may be repeated."""

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
    # Where it is executed, for a run that its own maker executes: so a server there notices when the process is gone.
    process: Text1024 | None = None


class FlowRunUpdate(StrictWire):
    """Only what is sent is changed."""

    name: Text1024 | None = None
    flow_version: Text255 | None = None
    parameters: JSONObject | None = None
    empirical_policy: FlowRunPolicyIn | None = None
    tags: Tags | None = None
    infrastructure_pid: Text1024 | None = None
    job_variables: JSONObject | None = None


class PolledFlowRunOut(RunOut):
    flow_id: UUID
    deployment_id: UUID | None
    deployment_version: str | None
    work_queue_id: UUID | None
    work_queue_name: str | None
    flow_version: str | None
    parameters: dict[str, Any]
    idempotency_key: str | None
    context: dict[str, Any]
    empirical_policy: FlowRunPolicyOut
    parent_task_run_id: UUID | None
    auto_scheduled: bool
    infrastructure_document_id: UUID | None
    infrastructure_pid: str | None
    created_by: MadeBy | None
    job_variables: dict[str, Any]


class FlowRunOut(PolledFlowRunOut):
    work_pool_id: UUID | None
    work_pool_name: str | None


def flow_run_out(run: FlowRun, state: FlowRunState | None, pool: tuple[UUID, str] | None, now: datetime) -> FlowRunOut:
    told = stored_state_out(state, flow_run_id=run.id, task_run_id=run.parent_task_run_id) if state else None
    own = {
        **run_out(run, told, now),
        "flow_id": run.flow_id,
        "deployment_id": run.deployment_id,
        "deployment_version": run.deployment_version,
        "work_queue_id": run.work_queue_id,
        "work_queue_name": run.work_queue_name,
        "work_pool_id": pool[0] if pool else None,
        "work_pool_name": pool[1] if pool else None,
        "flow_version": run.flow_version,
        "parameters": run.parameters,
        "idempotency_key": run.idempotency_key,
        "context": run.context,
        "empirical_policy": flow_run_policy_out(run.empirical_policy),
        "parent_task_run_id": run.parent_task_run_id,
        "auto_scheduled": run.auto_scheduled,
        "infrastructure_document_id": run.infrastructure_document_id,
        "infrastructure_pid": run.infrastructure_pid,
        "created_by": run.created_by,
        "job_variables": run.job_variables,
    }
    return cast(FlowRunOut, own)
