"""Create, change, adopt and delete deployments. Their planned runs follow every change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from deployments.blocks.selectors import filled_in
from deployments.blocks.services.secrets_of_runs import refuse_secrets_of_others
from deployments.definitions.core.parameters import flaw_of_schema
from deployments.definitions.services.runs import refuse_misfits, refuse_odd_job_variables
from deployments.dispatch.selectors.liveness import has_agents
from deployments.errors import BadParameterSchema, BlockDocumentNotFound
from deployments.models import BlockDocument, Deployment, Schedule
from deployments.schedules.services.changes import Plans
from deployments.schedules.services.planning import replan
from deployments.schedules.services.schedules import (
    NewSchedule,
    held_deployment,
    replace_schedules,
    store_schedules,
)
from deployments.work.services.work_queues import queue_for
from orchestration.authors import asker, asking_user, made_by
from orchestration.database_clock import database_now
from orchestration.errors import BeyondRights
from orchestration.new_names import refuse_unreadable
from orchestration.sight import acts_in_part
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.credentials import LAST_LINES
from orionflow.contract.deployments import DeploymentFields
from orionflow.contract.kinds import FINDER_ENTRYPOINT
from runs.errors import CodeInParameters, FlowNotFound
from runs.flow_runs.services import delete_flow_runs
from runs.flows.services import create_flow
from runs.limiting_users import limits_of, limits_with
from runs.models import Flow, FlowRun

# The columns of the fields that clients can set. The queue is given by name, and stored as a reference.
COLUMNS = {
    one.name: one
    for one in Deployment._meta.concrete_fields
    if one.name in DeploymentFields.model_fields and one.name != "work_queue_name"
}
# Fields that define the executed code. The user who sets one becomes the author; a change of other fields does not.
CODE_FIELDS = frozenset(
    {
        "path",
        "entrypoint",
        "manifest_path",
        "pull_steps",
        "job_variables",
        "storage_document_id",
        "infrastructure_document_id",
    }
)
# Fields that decide which code the runs of the deployment that finds flows execute.
DISCOVERY_FIELDS = CODE_FIELDS | {"parameters", "parameter_openapi_schema", "enforce_parameter_schema"}


@repeated_on_conflict
def create_deployment(
    *,
    flow_id: UUID,
    name: str,
    columns: Mapping[str, Any],
    schedules: Sequence[NewSchedule] = (),
    pool_name: str | None = None,
    queue_name: str | None = None,
    finds_flows: bool = False,
    now: datetime,
) -> tuple[Deployment, bool]:
    """Return the deployment with this flow and name, and whether it is new.

    Of an existing deployment only the given columns change; its schedules are replaced. Only the page for finding flows
    sets `finds_flows`.
    """
    with write_transaction():
        if not Flow.objects.filter(pk=flow_id).exists():
            raise FlowNotFound(id=flow_id)
        _refuse_missing_blocks(columns)
        held = Deployment.objects.select_related("work_queue").select_for_update(of=("self",), no_key=True)
        known = held.filter(flow_id=flow_id, name=name).first()
        if known is None and acts_in_part():
            raise BeyondRights(what="a new deployment")
        deployment = known or Deployment(flow_id=flow_id, name=name, created=now)
        if not finds_flows:
            _refuse_code_of_finder(deployment, columns)
        author = deployment.author
        before = Plans.of(known) if known else Plans.of_new(deployment)
        refuse_secrets_of_others(deployment, columns)
        columns = {**_filled_in(columns), **_signed(columns, is_new=known is None)}
        _set(deployment, {**columns, **_queue_columns(deployment, pool_name, queue_name, now)}, check_parameters=True)
        _refuse_odd_job_variables(deployment, columns, pool_name, queue_name)
        if known:
            deployment.save(update_fields=[*_names(columns, pool_name, queue_name), "updated"])
            _limit_attempts(deployment, author, now)
            replace_schedules(deployment, before, schedules, now)
        else:
            deployment.save(force_insert=True)
            store_schedules(deployment, schedules, now)
        replan(before, deployment, now)
        return deployment, known is None


def refuse_unreadable_deployment(*, flow_id: UUID, name: str) -> None:
    """Raise UnreadableName for a deployment that people name, unless there is one of this name."""
    # Deployments that Orion makes itself are named after pools, which may be older than the rule.
    refuse_unreadable(name, unless=Deployment.objects.filter(flow_id=flow_id, name=name))


@repeated_on_conflict
def check_deployment(*, flow_name: str, now: datetime, **asked: Any) -> None:
    """Raise whatever creating this deployment would raise. It is created, and the transaction rolled back."""
    with write_transaction():
        flow, _ = create_flow(name=flow_name, now=now)
        refuse_unreadable_deployment(flow_id=flow.pk, name=asked["name"])
        create_deployment(flow_id=flow.pk, now=now, **asked)
        transaction.set_rollback(True)


@repeated_on_conflict
def update_deployment(
    *,
    deployment_id: UUID,
    changes: Mapping[str, Any],
    schedules: Sequence[NewSchedule] | None = None,
    pool_name: str | None = None,
    queue_name: str | None = None,
    now: datetime,
) -> None:
    """Change columns, and the schedules if they are given. Affected planned runs are updated."""
    with write_transaction():
        deployment = held_deployment(deployment_id)
        before = Plans.of(deployment)
        _refuse_missing_blocks(changes)
        _refuse_code_of_finder(deployment, changes)
        author = deployment.author
        refuse_secrets_of_others(deployment, changes)
        changes = {**_filled_in(changes), **_signed(changes)}
        checked = {"parameters", "parameter_openapi_schema", "enforce_parameter_schema"} & changes.keys()
        _set(
            deployment,
            {**changes, **_queue_columns(deployment, pool_name, queue_name, now)},
            check_parameters=bool(checked),
        )
        _refuse_odd_job_variables(deployment, changes, pool_name, queue_name)
        deployment.save(update_fields=[*_names(changes, pool_name, queue_name), "updated"])
        _limit_attempts(deployment, author, now)
        if schedules is not None:
            replace_schedules(deployment, before, schedules, now)
        replan(before, deployment, now)


@repeated_on_conflict
def pause_unless_served(*, deployment_id: UUID, now: datetime) -> bool:
    """Pause a deployment whose queue no agent serves, and return whether it was paused.

    Used by programs that serve a deployment themselves, when they end. If an agent registers at the same moment and
    resumes the deployment afterwards, the deployment ends up active in any order.
    """
    with write_transaction():
        deployment = held_deployment(deployment_id)
        if deployment.work_queue is not None and has_agents(deployment.work_queue, database_now()):
            return False
        update_deployment(deployment_id=deployment_id, changes={"paused": True}, now=now)
        return True


@repeated_on_conflict
def adopt_deployment(*, deployment_id: UUID, now: datetime) -> None:
    """Make the user the author of the deployment, whoever deployed the code: its runs get the user's rights."""
    with write_transaction():
        deployment = held_deployment(deployment_id)
        author = deployment.author
        deployment.author, deployment.updated_by = asking_user(), (by := made_by())
        deployment.author_name = by["display_value"] if by else None
        deployment.save(update_fields=["author", "author_name", "updated", "updated_by"])
        _limit_attempts(deployment, author, now)


@repeated_on_conflict
def delete_deployment(*, deployment_id: UUID) -> None:
    """Delete the deployment with its schedules and every run that has not started. Its other runs stay."""
    with write_transaction():
        deployment = held_deployment(deployment_id)
        list(Schedule.objects.select_for_update().filter(deployment=deployment).values_list("pk"))
        # A run that waits for a retry has started.
        waiting = FlowRun.objects.select_for_update().filter(
            deployment_id=deployment_id, state_type="SCHEDULED", run_count=0
        )
        delete_flow_runs(FlowRun.objects.filter(pk__in=list(waiting.values_list("pk", flat=True))).values("pk"))
        deployment.delete()


def _refuse_missing_blocks(columns: Mapping[str, Any]) -> None:
    given = (columns.get("storage_document_id"), columns.get("infrastructure_document_id"))
    named = {one for one in given if one is not None}
    if named and (missing := named - set(BlockDocument.objects.filter(pk__in=named).values_list("pk", flat=True))):
        raise BlockDocumentNotFound(id=min(missing))


def _filled_in(columns: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**columns, "parameters": filled_in(columns["parameters"])} if "parameters" in columns else columns


def _signed(columns: Mapping[str, Any], *, is_new: bool = False) -> dict[str, Any]:
    """Return the columns that record who creates or changes it and, if the code changes, who is its author."""
    if asker.get() is None and not is_new:
        return {"updated_by": None}
    signed: dict[str, Any] = {"updated_by": (by := made_by())}
    if is_new:
        signed["created_by"] = by
    if is_new or columns.keys() & CODE_FIELDS:
        signed |= {"author": asking_user(), "author_name": by["display_value"] if by else None}
    return signed


def _refuse_code_of_finder(deployment: Deployment, columns: Mapping[str, Any]) -> None:
    """Refuse changes of what the deployment that finds flows executes, and other deployments of its code.

    Its runs have the rights of the user who started them, not of the author. Raises CodeInParameters.
    """
    changed = {name for name, value in columns.items() if value != getattr(deployment, name)}
    if changed & DISCOVERY_FIELDS and FINDER_ENTRYPOINT in {deployment.entrypoint, columns.get("entrypoint")}:
        raise CodeInParameters


def _limit_attempts(deployment: Deployment, before: int | None, now: datetime) -> None:
    """Limit the attempts with valid tokens by the rights of the previous author, whose code they have loaded."""
    # Searches for flows execute code of the user who started them, whoever has asked for another one since.
    if before is None or before == deployment.author or deployment.entrypoint == FINDER_ENTRYPOINT:
        return
    # Sort before locking, because others lock several runs in this order.
    attempts = FlowRun.objects.select_for_update(no_key=True).filter(pk__in=_attempts(deployment.pk, now))
    columns = attempts.order_by("pk").values_list("pk", "limited_by", "job_variables", "created_by")
    for run_id, *of_run in list(columns):
        FlowRun.objects.filter(pk=run_id).update(limited_by=limits_with(limits_of(*of_run), before))


def _attempts(deployment_id: UUID, now: datetime) -> set[UUID]:
    """Return the runs of a deployment with an attempt whose process may still use its token."""
    begun = FlowRun.objects.order_by().filter(epoch__gt=0)
    under_way = begun.open().filter(deployment_id=deployment_id)
    # A run that never started has no end time.
    just_ended = begun.filter(
        Q(end_time__gte=now - LAST_LINES) | Q(start_time__isnull=True, state_timestamp__gte=now - LAST_LINES)
    )
    # Compare the deployment here: in the query, SQLite would rather read all runs of the deployment.
    ended = {run_id for run_id, of in just_ended.values_list("pk", "deployment_id") if of == deployment_id}
    return {*under_way.values_list("pk", flat=True), *ended}


def _set(deployment: Deployment, columns: Mapping[str, Any], *, check_parameters: bool) -> None:
    for name, value in columns.items():
        setattr(deployment, name, value)
    if not deployment.enforce_parameter_schema:
        # A schema that is not enforced is only a description, so even an invalid one does not prevent the deployment.
        return
    if columns.keys() & {"parameter_openapi_schema", "enforce_parameter_schema"}:
        _refuse_bad_schema(deployment.parameter_openapi_schema)
    if check_parameters:
        # Required parameters may be given with each run.
        refuse_misfits(deployment.name, deployment.parameters, deployment.parameter_openapi_schema, partial=True)


def _refuse_bad_schema(schema: Mapping[str, Any] | None) -> None:
    if schema and (reason := flaw_of_schema(schema)):
        raise BadParameterSchema(reason=reason)


def _refuse_odd_job_variables(
    deployment: Deployment, columns: Mapping[str, Any], pool_name: str | None, queue_name: str | None
) -> None:
    """Check the job variables if they or the queue change. They are not checked again for scheduled runs."""
    if "job_variables" in columns or pool_name is not None or queue_name is not None:
        refuse_odd_job_variables(deployment.work_queue, deployment.job_variables or {}, complete=False)


def _queue_columns(
    deployment: Deployment, pool_name: str | None, queue_name: str | None, now: datetime
) -> dict[str, Any]:
    queue = queue_for(pool_name=pool_name, queue_name=queue_name, now=now)
    if queue and queue != deployment.work_queue and acts_in_part():
        # The agents of another queue would execute its code.
        raise BeyondRights(what="moving a deployment to another queue")
    return {"work_queue": queue, "work_queue_name": queue.name} if queue else {}


def _names(columns: Mapping[str, Any], pool_name: str | None, queue_name: str | None) -> list[str]:
    waits = ["work_queue", "work_queue_name"] if pool_name or queue_name else []
    return [*columns, *waits]
