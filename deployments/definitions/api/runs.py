"""Runs of a deployment on request: one now, one later, or those that its schedules plan in a period."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from rest_framework.response import Response

from deployments.definitions.core.hydration import BadTemplate
from deployments.definitions.services.runs import RunOptions, create_run_of_deployment, is_own_queue
from deployments.models import Deployment
from deployments.schedules.core.horizon import Horizon
from deployments.schedules.services.planning_on_demand import plan_deployment
from orchestration.api.errors import Refused
from orchestration.api.operations import Operation
from orchestration.api.states import proposed_state
from orchestration.authors import made_by
from orchestration.database_clock import current_time
from orchestration.sight import refuse_unseen, seeing, sees_in_part
from orion_site.accounts.permissions import WHERE_AND_HOW, Action, refuse_fields, refuse_held_by_others
from orionflow.contract.deployments import PlanRequest
from orionflow.contract.runs import DeploymentFlowRunCreate
from runs.errors import IdempotencyKeyTaken
from runs.flow_runs.api.flow_runs import flow_runs_out
from runs.flow_runs.schemas import FlowRunOut
from runs.models import FlowRun
from runs.schemas.policies import policy_in

USUAL = Horizon()


class CreateFlowRunFromDeployment(Operation):
    """Create a run of a deployment, due now unless a state says otherwise."""

    method = "POST"
    action_required = Action.RUN_DEPLOYMENTS
    answers = {201: FlowRunOut, 200: FlowRunOut}

    def perform(self, id: UUID, body: DeploymentFlowRunCreate) -> Response:
        customised = {
            "job_variables": body.job_variables,
            "infrastructure_document_id": body.infrastructure_document_id,
            "work_queue_name": another_queue(id, body.work_queue_name),
        }
        refuse_fields(self.request, Action.CUSTOMISE_RUNS, customised, WHERE_AND_HOW)
        if body.parent_task_run_id is not None:
            caller = [("runs_taskrun", body.parent_task_run_id)]
            if sees_in_part():
                refuse_unseen(caller)
            refuse_held_by_others(self.request, caller)
        now = current_time()
        state = proposed_state(body.state, keep_identity=False) if body.state else None
        options = run_options(body)
        actor = self.request.user
        by_run = {"id": str(actor.run_id), "type": "FLOW_RUN", "display_value": str(actor)}
        options = replace(options, created_by=made_by() if actor.run_id is None else by_run)
        with reporting_bad_templates():
            run, created = create_run_of_deployment(deployment_id=id, options=options, state=state, now=now)
        if not created and sees_in_part() and not FlowRun.objects.filter(pk=run.pk).exists():
            raise IdempotencyKeyTaken(key=options.idempotency_key)
        # Show the run to the user who started it, even if the user's rights do not include the run.
        with seeing(None):
            return Response(flow_runs_out([run], now)[0], status=201 if created else 200)


class ScheduleDeployment(Operation):
    """Plan runs of the deployment's schedules in a period. Runs that are already planned stay."""

    method = "POST"
    action_required = Action.RUN_DEPLOYMENTS
    answers = {200: None}
    body_optional = True

    def perform(self, id: UUID, body: PlanRequest) -> None:
        now = current_time()
        start = body.start_time or now
        end = body.end_time or start + USUAL.farthest
        horizon = Horizon(
            runs=USUAL.runs if body.min_runs is None else body.min_runs,
            ahead=USUAL.ahead if body.min_time is None else timedelta(seconds=body.min_time),
            most=USUAL.most if body.max_runs is None else body.max_runs,
            farthest=max(end - start, timedelta()),
        )
        plan_deployment(deployment_id=id, start=start, horizon=horizon, now=now)


def another_queue(deployment_id: UUID, queue_name: str | None) -> str | None:
    """Return the name of the queue, or None if it is the deployment's own."""
    if queue_name is None:
        return None
    # Look at all rows, because rights on a deployment do not include its queue.
    with seeing(None):
        deployment = Deployment.objects.select_related("work_queue").filter(pk=deployment_id).first()
    return None if deployment is not None and is_own_queue(deployment, queue_name) else queue_name


def run_options(sent: DeploymentFlowRunCreate) -> RunOptions:
    given: dict[str, Any] = {
        name: value
        for name in sent.model_fields_set - {"state", "empirical_policy"}
        if (value := getattr(sent, name)) is not None
    }
    return RunOptions(**given, empirical_policy=policy_in(sent.empirical_policy))


@contextmanager
def reporting_bad_templates() -> Iterator[None]:
    """Answer 400 if a template in parameters cannot be filled in."""
    try:
        yield
    except BadTemplate as error:
        raise Refused(f"Error hydrating parameters: {error}", 400) from None
