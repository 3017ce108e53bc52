"""Backfills: preview, create, read, pause, resume and cancel them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from rest_framework.response import Response

from deployments.backfills.core.times import NamedTime
from deployments.backfills.selectors import Progress, backfills_of, progress_of
from deployments.backfills.services.backfills import (
    cancel_backfill,
    create_backfill,
    pause_backfill,
    resume_backfill,
)
from deployments.backfills.services.planning import NewBackfill, planned_backfill, schedule_to_follow
from deployments.definitions.api.runs import another_queue, reporting_bad_templates
from deployments.errors import BackfillNotFound, DeploymentNotFound
from deployments.filters import BackfillFilter
from deployments.models import Backfill, Deployment
from deployments.schedules.api.schemas import definition_of
from deployments.schedules.selectors import calendar_names
from orchestration.api.answers import as_answer
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orchestration.errors import BeyondRights
from orchestration.sight import sees_in_part
from orion_site.accounts.permissions import WHERE_AND_HOW, Action, refuse_fields
from orionflow.contract import backfills as contract
from runs.lists.filters.conditions import matched

TIMES_LISTED = 100


class BackfillListing(Page):
    backfills: BackfillFilter | None = None


class CreateBackfill(Operation):
    """Create a backfill. Its runs are created a few at a time."""

    method = "POST"
    action_required = Action.CHANGE_BACKFILLS
    by_sight = True
    answers = {201: contract.Backfill, 404: dict[str, str]}

    def perform(self, body: contract.BackfillCreate) -> Response:
        # Within the transaction everything is visible, so the deployment is checked here.
        if sees_in_part() and not Deployment.objects.filter(pk=body.deployment_id).exists():
            raise BeyondRights(what="a backfill of another deployment")
        queue = {"work_queue_name": another_queue(body.deployment_id, body.work_queue_name)}
        refuse_fields(self.request, Action.CUSTOMISE_RUNS, queue, WHERE_AND_HOW)
        with reporting_bad_templates():
            new = _new_backfill(body, name=body.name)
            made = create_backfill(deployment_id=body.deployment_id, new=new, now=current_time())
        return Response(_answer(made), status=201)


class PreviewBackfill(Operation):
    """Preview a backfill: how many runs, for which times, and which times are left out."""

    method = "POST"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: contract.BackfillPlan, 404: dict[str, str]}

    def perform(self, body: contract.BackfillRequest) -> dict[str, Any]:
        deployment = Deployment.objects.filter(pk=body.deployment_id).first()
        if deployment is None:
            raise DeploymentNotFound(id=body.deployment_id)
        with reporting_bad_templates():
            plan = planned_backfill(deployment, _new_backfill(body), current_time())
        return {
            "runs": len(plan.times),
            "times": _listed(plan.times),
            "first_parameters": dict(plan.first_parameters),
            "left_out": len(plan.left_out),
            "left_out_times": _listed(plan.left_out),
            "completed": len(plan.completed),
            "completed_times": _listed(plan.completed),
        }


class FilterBackfills(Operation):
    """List backfills, newest first."""

    method = "POST"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: list[contract.Backfill]}
    body_optional = True

    def perform(self, body: BackfillListing) -> list[dict[str, Any]]:
        found = self.paginate_queryset(backfills_of(None).filter(matched(body.backfills)))
        progress = progress_of(found)
        return [_answer(one, progress.get(one.pk)) for one in found]


class ReadBackfill(Operation):
    """Read a backfill with its progress."""

    method = "GET"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: contract.Backfill}

    def perform(self, id: UUID) -> dict[str, Any]:
        found = Backfill.objects.filter(pk=id).first()
        if found is None:
            raise BackfillNotFound(id=id)
        return _answer(found)


class PauseBackfill(Operation):
    """Create no more runs of a backfill until it is resumed. Existing runs continue."""

    method = "POST"
    action_required = Action.CHANGE_BACKFILLS
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        pause_backfill(backfill_id=id, now=current_time())


class ResumeBackfill(Operation):
    """Resume a backfill."""

    method = "POST"
    action_required = Action.CHANGE_BACKFILLS
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        resume_backfill(backfill_id=id, now=current_time())


class CancelBackfill(Operation):
    """Cancel a backfill: no more runs are created, and runs that have not ended are cancelled."""

    method = "POST"
    action_required = Action.CHANGE_BACKFILLS
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        cancel_backfill(backfill_id=id, now=current_time(), author=self.request.user.name)


def _new_backfill(body: contract.BackfillRequest, name: str | None = None) -> NewBackfill:
    calendars, parameters = body.calendars, body.parameters
    if body.schedule is not None:
        definition = definition_of(body.schedule)
    else:
        stored = schedule_to_follow(body.deployment_id, body.schedule_id)
        definition = stored.definition
        calendars = calendar_names(stored) if calendars is None else calendars
        parameters = {**stored.parameters, **parameters}
    return NewBackfill(
        start=body.start,
        end=body.end,
        definition=definition,
        calendars=calendars or [],
        name=name,
        parameters=parameters,
        time_parameter=body.time_parameter,
        newest_first=body.newest_first,
        at_once=body.at_once,
        again=body.again,
        work_queue_name=body.work_queue_name,
    )


def _listed(times: Sequence[NamedTime]) -> list[dict[str, Any]]:
    return [as_answer(contract.BackfillTime, one) for one in times[:TIMES_LISTED]]


def _answer(backfill: Backfill, progress: Progress | None = None) -> dict[str, Any]:
    found = progress or progress_of([backfill])[backfill.pk]
    return as_answer(
        contract.Backfill,
        backfill,
        schedule=backfill.definition,
        made=found.made,
        ended=found.ended,
        states=dict(found.states),
    )
