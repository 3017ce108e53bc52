"""Calls about deployments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from orionflow import contract, wire
from orionflow.calls import Call, Collection, present, selection
from orionflow.contract.ids import uuid7
from orionflow.states import State

if TYPE_CHECKING:
    from orionflow.contract.deployments import Deployment
    from orionflow.wire import FlowRun

DEPLOYMENTS: Collection[Deployment] = Collection("/deployments", lambda: contract.deployments.Deployment)


def create_deployment(flow_id: UUID, name: str, **fields: Any) -> Call[Deployment]:
    """Create the deployment of this flow and name, or update it to these fields; None empties optional fields."""
    return DEPLOYMENTS.create({"flow_id": flow_id, "name": name, **fields})


def check_deployment(flow_name: str, name: str, fields: Mapping[str, Any]) -> Call[None]:
    """Raise the errors of `create_deployment`, without creating a deployment."""
    return Call("POST", f"{DEPLOYMENTS.path}/check", {"flow_name": flow_name, "name": name, **fields})


def read_deployment(deployment_id: UUID) -> Call[Deployment]:
    """Read one deployment by its id."""
    return DEPLOYMENTS.read(deployment_id)


def read_deployment_by_name(name: str) -> Call[Deployment]:
    """Read one deployment by `flow/deployment`."""
    flow, _, own = name.partition("/")
    path = f"{DEPLOYMENTS.path}/name/{quote(flow, safe='')}/{quote(own, safe='')}"
    return Call("GET", path, read=DEPLOYMENTS.answer)


def update_deployment(deployment_id: UUID, **fields: Any) -> Call[None]:
    """Change the named fields of a deployment."""
    return DEPLOYMENTS.update(deployment_id, fields)


def adopt_deployment(deployment_id: UUID | str) -> Call[None]:
    """Let runs of a deployment act with the rights of the sender of this call."""
    return Call("POST", f"{DEPLOYMENTS.path}/{deployment_id}/adopt")


def delete_deployment(deployment_id: UUID) -> Call[None]:
    """Delete a deployment with its schedules; its runs stay."""
    return DEPLOYMENTS.delete(deployment_id)


def read_deployments(
    *, sort: str | None = None, limit: int | None = None, offset: int = 0, **criteria: Any
) -> Call[list[Deployment]]:
    """List the deployments that match the criteria (`flows=`, `flow_runs=`, `task_runs=`, `deployments=`)."""
    return DEPLOYMENTS.find(selection(sort=sort, limit=limit, offset=offset, **criteria))


def count_deployments(**criteria: Any) -> Call[int]:
    """Count the deployments that match the criteria."""
    return DEPLOYMENTS.count(selection(**criteria))


def pause_deployment(deployment_id: UUID) -> Call[None]:
    """Plan no further runs of a deployment, and delete those that were planned."""
    return update_deployment(deployment_id, paused=True)


def pause_unless_served(deployment_id: UUID) -> Call[bool]:
    """Pause a deployment if no agent serves its queue; the answer says whether it was paused."""
    return Call("POST", f"{DEPLOYMENTS.one(deployment_id)}/pause_unless_served", read=bool)


def resume_deployment(deployment_id: UUID) -> Call[None]:
    """Plan runs of a deployment again."""
    return update_deployment(deployment_id, paused=False)


def create_flow_run_from_deployment(
    deployment_id: UUID | str,
    *,
    state: State[Any] | Mapping[str, Any] | None = None,
    name: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
    idempotency_key: str | None = None,
    parent_task_run_id: UUID | None = None,
    work_queue_name: str | None = None,
    job_variables: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
) -> Call[FlowRun]:
    """Create a run of a deployment, or read the one with this idempotency key. By default the call creates a key."""
    body = present(
        state=state,
        name=name,
        parameters=parameters or {},
        tags=list(tags),
        idempotency_key=idempotency_key or str(uuid7()),
        parent_task_run_id=parent_task_run_id,
        work_queue_name=work_queue_name,
        job_variables=job_variables,
        context=context,
    )
    return Call("POST", f"{DEPLOYMENTS.one(deployment_id)}/create_flow_run", body, read=lambda: wire.FlowRun)
