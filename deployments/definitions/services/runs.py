"""Runs of a deployment: what they inherit from it, and how they are created on request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from deployments.blocks.selectors import filled_in
from deployments.definitions.core.parameters import mismatch
from deployments.errors import DeploymentNotFound, JobVariablesMisfit, ParametersMisfit
from deployments.models import Deadline, Deployment, WorkQueue
from deployments.work.core.job_variables import misfit
from deployments.work.services.work_queues import queue_for
from orchestration.authors import asking_user, may_everywhere
from orchestration.compiled import Compiled
from orchestration.core.states import State, scheduled
from orchestration.errors import BeyondRights
from orchestration.new_runs import NewFlowRun
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.kinds import FINDER_ENTRYPOINT
from runs.errors import CodeInParameters, JobVariablesUnused
from runs.flow_runs.services import create_flow_run, update_flow_run
from runs.limiting_users import limits_of, limits_with
from runs.models import FlowRun
from runs.naming import two_word_name


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The fields that a request sets for one run; the rest comes from the deployment."""

    name: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    context: dict[str, Any] = field(default_factory=dict)
    job_variables: dict[str, Any] = field(default_factory=dict)
    empirical_policy: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    parent_task_run_id: UUID | None = None
    work_queue_name: str | None = None
    infrastructure_document_id: UUID | None = None
    enforce_parameter_schema: bool | None = None
    created_by: dict[str, Any] | None = None
    # For a copy of a run: the users who limit that run, because its job variables may be theirs.
    copied_limits: Sequence[int] = ()
    # Only set by the page for finding flows, where the parameters name the code that is executed.
    finds_flows: bool = False


_with_queue = Compiled(lambda id: Deployment.objects.select_related("work_queue__work_pool").filter(pk=id).order_by())


@repeated_on_conflict
def create_run_of_deployment(
    *, deployment_id: UUID, options: RunOptions, state: State | None, now: datetime
) -> tuple[FlowRun, bool]:
    """Return the run, and whether it is new: a known idempotency key gives its run. Without a state it is due now.

    Raises DeploymentNotFound, BadTemplate, ParametersMisfit, JobVariablesMisfit, WorkPoolNotFound and BeyondRights.
    """
    with write_transaction():
        deployment = next(iter(_with_queue(deployment_id)), None)
        if deployment is None:
            raise DeploymentNotFound(id=deployment_id)
        if deployment.entrypoint == FINDER_ENTRYPOINT and not options.finds_flows:
            raise CodeInParameters
        refuse_odd_job_variables(deployment.work_queue, deployment.job_variables, options.job_variables, complete=True)
        new = new_run_of(deployment, options)
        if options.work_queue_name is not None:
            refuse_another_queue(deployment, options.work_queue_name)
            queue_id = _queue_id(deployment, options.work_queue_name, now)
            new = replace(new, work_queue_id=queue_id, work_queue_name=options.work_queue_name)
        run, created = create_flow_run(new=new, state=state or scheduled(now), now=now)
        if created:
            Deadline.objects.bulk_create(deadlines_of([(run.pk, run.expected_start_time)], deployment))
        return run, created


@repeated_on_conflict
def update_job_variables(*, run_id: UUID, changes: Mapping[str, Any], now: datetime) -> None:
    """Change a waiting run including its job variables, which must fit the template of its pool.

    Raises FlowRunNotFound, JobVariablesSettled, JobVariablesUnused and JobVariablesMisfit.
    """
    with write_transaction():
        held = FlowRun.objects.select_for_update(no_key=True).filter(pk=run_id)
        before = held.values_list("limited_by", "job_variables", "created_by").first()
        # Do this first, because it refuses runs that do not exist or have started. It is rolled back if a later check
        # fails.
        update_flow_run(run_id=run_id, changes=changes, now=now)
        of_run = Deployment.objects.filter(pk__in=FlowRun.objects.filter(pk=run_id).values("deployment_id"))
        deployment = of_run.select_related("work_queue__work_pool").first()
        if deployment is None:
            raise JobVariablesUnused
        refuse_odd_job_variables(
            deployment.work_queue, deployment.job_variables, changes["job_variables"], complete=True
        )
        limits = limits_of(*before) if before else []
        if changes["job_variables"]:
            limits = limits_with(limits, asking_user())
        FlowRun.objects.filter(pk=run_id).update(limited_by=limits)


def new_run_of(deployment: Deployment, options: RunOptions) -> NewFlowRun:
    """Return the run with these options, which take the place of what it would inherit from its deployment."""
    run = inherited_run(deployment)
    return replace(
        run,
        name=options.name or two_word_name(),
        tags=merged_tags(run.tags, options.tags),
        parameters=_parameters(deployment, options),
        context=options.context,
        empirical_policy={**run.empirical_policy, **options.empirical_policy},
        job_variables=options.job_variables,
        parent_task_run_id=options.parent_task_run_id,
        infrastructure_document_id=options.infrastructure_document_id or run.infrastructure_document_id,
        idempotency_key=options.idempotency_key,
        created_by=options.created_by,
        limited_by=limits_with(options.copied_limits, asking_user())
        if options.job_variables or options.infrastructure_document_id
        else None,
    )


def inherited_run(deployment: Deployment) -> NewFlowRun:
    """Return a run with everything that it inherits from its deployment."""
    return NewFlowRun(
        flow_id=deployment.flow_id,
        tags=deployment.tags,
        parameters=deployment.parameters,
        empirical_policy=_policy_of(deployment),
        deployment_id=deployment.pk,
        deployment_version=deployment.version,
        # Runs of a deployment whose queue was deleted wait until the queue is recreated.
        work_queue_id=deployment.work_queue_id or deployment.former_queue_id,
        work_queue_name=deployment.work_queue.name if deployment.work_queue else deployment.work_queue_name,
        infrastructure_document_id=deployment.infrastructure_document_id,
    )


def merged_tags(*groups: Iterable[str]) -> list[str]:
    """Return each tag once, in the order of first occurrence."""
    return list(dict.fromkeys(tag for group in groups for tag in group))


def _policy_of(deployment: Deployment) -> dict[str, Any]:
    """Return the policy for every run of the deployment. It applies even before the code has been loaded."""
    policy: dict[str, Any] = {}
    if deployment.overlap != "allow":
        policy |= {"overlap": deployment.overlap, "overlap_scope": "deployment"}
    if deployment.crash_retries:
        policy["crash_retries"] = deployment.crash_retries
    return policy


DEADLINES = {Deadline.Kind.START: "must_start_within", Deadline.Kind.FINISH: "must_finish_within"}


def deadlines_of(runs: Iterable[tuple[UUID, datetime | None]], deployment: Deployment) -> Iterator[Deadline]:
    """Yield the deadlines for the start and the finish of these runs of the deployment."""
    limits = {kind: getattr(deployment, name) for kind, name in DEADLINES.items()}
    for run_id, at in runs:
        for kind, within in limits.items():
            if within is not None and at is not None:
                yield Deadline(flow_run_id=run_id, kind=kind, due=at + within)


def _parameters(deployment: Deployment, options: RunOptions) -> dict[str, Any]:
    parameters = filled_in({**deployment.parameters, **options.parameters})
    enforced = options.enforce_parameter_schema
    if deployment.enforce_parameter_schema if enforced is None else enforced:
        refuse_misfits(deployment.name, parameters, deployment.parameter_openapi_schema)
    return parameters


def refuse_misfits(
    name: str, parameters: Mapping[str, Any], schema: Mapping[str, Any] | None, *, partial: bool = False
) -> None:
    if schema is None:
        raise ParametersMisfit(name=name, reason="it has none; deploy it again with one, or do not enforce it.")
    if reason := mismatch(parameters, schema, partial=partial):
        raise ParametersMisfit(name=name, reason=reason)


def refuse_odd_job_variables(queue: WorkQueue | None, *layers: Mapping[str, Any], complete: bool) -> None:
    """Refuse job variables that do not fit the template of the queue's pool. Without a template, all fit."""
    pool = queue.work_pool if queue else None
    if pool and (reason := misfit(pool.base_job_template, *layers, complete=complete)):
        raise JobVariablesMisfit(pool=pool.name, reason=reason)


def refuse_another_queue(deployment: Deployment, queue_name: str | None) -> None:
    """Refuse another queue to users with rights on named objects: its agents would execute the code."""
    # The right to start runs may hold for everything even though this one does not.
    if queue_name is not None and not may_everywhere("runs.customise") and not is_own_queue(deployment, queue_name):
        raise BeyondRights(what="a run in another queue")


def is_own_queue(deployment: Deployment, queue_name: str) -> bool:
    return deployment.work_queue is not None and deployment.work_queue.name == queue_name


def _queue_id(deployment: Deployment, queue_name: str, now: datetime) -> UUID | None:
    """Return the id of a queue in the pool of the deployment's queue, created if it is new."""
    own = deployment.work_queue.work_pool if deployment.work_queue else None
    queue = queue_for(pool_name=own.name if own else None, queue_name=queue_name, now=now)
    return queue.pk if queue else None
