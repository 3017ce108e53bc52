"""Deployments: create, check, read, search, change, pause and delete them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import Q
from rest_framework.response import Response

from deployments.definitions.api.runs import reporting_bad_templates
from deployments.definitions.api.schemas import columns_of, deployment_out, schedules_in
from deployments.definitions.selectors import DeploymentSearch, deployments_matching
from deployments.definitions.services.deployments import (
    adopt_deployment,
    check_deployment,
    create_deployment,
    delete_deployment,
    pause_unless_served,
    refuse_unreadable_deployment,
)
from deployments.definitions.services.only_schedule import set_paused, update_as_sent
from deployments.dispatch.selectors.liveness import ready_deployments
from deployments.errors import BlockDocumentNotFound, ParametersMisfit
from deployments.models import Deployment
from deployments.schedules.api.schemas import schedule_out
from deployments.schedules.selectors import calendar_names, schedules_of
from orchestration.api.errors import INTEGRITY, Refused, existing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orchestration.errors import BeyondRights
from orchestration.large import completed, without_large
from orchestration.sight import sees_in_part
from orion_site.accounts.permissions import Action
from orionflow.contract import deployments as contract
from runs.errors import FlowNotFound
from runs.lists.filters.sorts import ORDERS

# Columns of any size, which users fill.
FREE_COLUMNS = ("description", "parameters", "parameter_openapi_schema", "job_variables", "pull_steps")


class DeploymentSort(StrEnum):
    CREATED_DESC = "CREATED_DESC"
    UPDATED_DESC = "UPDATED_DESC"
    NAME_ASC = "NAME_ASC"
    NAME_DESC = "NAME_DESC"


class DeploymentListing(DeploymentSearch, Page):
    sort: DeploymentSort = DeploymentSort.NAME_ASC


class CreateDeployment(Operation):
    """Create a deployment of a flow, or update the one with this name. Its schedules are replaced."""

    method = "POST"
    action_required = Action.CHANGE_DEPLOYMENTS
    by_sight = True
    # The pool, the queue or a calendar that the body names may not exist.
    answers = {201: contract.Deployment, 200: contract.Deployment, 404: dict[str, str]}

    def perform(self, body: contract.DeploymentCreate) -> Response:
        _refuse_new_deployments(flow=body.flow_id, name=body.name)
        refuse_unreadable_deployment(flow_id=body.flow_id, name=body.name)
        now = current_time()
        with _refusing_definitions():
            deployment, created = create_deployment(flow_id=body.flow_id, now=now, **_definition_of(body))
        return Response(_found(Q(pk=deployment.pk)), status=201 if created else 200)


class CheckDeployment(Operation):
    """Check a deployment without creating it. Errors are those of creating it; its flow need not exist yet."""

    method = "POST"
    action_required = Action.CHANGE_DEPLOYMENTS
    by_sight = True
    answers = {204: None, 404: dict[str, str]}

    def perform(self, body: contract.DeploymentCheck) -> None:
        _refuse_new_deployments(flow__name=body.flow_name, name=body.name)
        now = current_time()
        with _refusing_definitions():
            check_deployment(flow_name=body.flow_name, now=now, **_definition_of(body))


class ReadDeployment(Operation):
    """Read a deployment with its schedules."""

    method = "GET"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: contract.Deployment}

    def perform(self, id: UUID) -> dict[str, Any]:
        return _found(Q(pk=id))


class ReadDeploymentByName(Operation):
    """Read a deployment by the name of its flow and its own name."""

    method = "GET"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: contract.Deployment}

    def perform(self, flow_name: str, deployment_name: str) -> dict[str, Any]:
        return _found(Q(flow__name=flow_name, name=deployment_name))


class UpdateDeployment(Operation):
    """Change the fields that are sent. Planned runs that are not due yet are planned again."""

    method = "PATCH"
    action_required = Action.CHANGE_DEPLOYMENTS
    answers = {204: None}

    def perform(self, id: UUID, body: contract.DeploymentUpdate) -> None:
        with reporting_bad_templates():
            update_as_sent(
                deployment_id=id,
                changes=columns_of(body),
                sent=schedules_in(body),
                pool_name=body.work_pool_name,
                queue_name=body.work_queue_name,
                now=current_time(),
            )


class AdoptDeployment(Operation):
    """Become the author of a deployment: its runs then have the rights of this user. Its code does not change."""

    method = "POST"
    action_required = Action.CHANGE_DEPLOYMENTS
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        adopt_deployment(deployment_id=id, now=current_time())


class DeleteDeployment(Operation):
    """Delete a deployment with its schedules and the runs that have not started; other runs stay."""

    method = "DELETE"
    action_required = Action.CHANGE_DEPLOYMENTS
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        delete_deployment(deployment_id=id)


class FilterDeployments(Operation):
    """List deployments with their schedules. A note replaces parameters and other free fields over 32 KiB."""

    method = "POST"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: list[contract.Deployment]}
    body_optional = True

    def perform(self, body: DeploymentListing) -> list[dict[str, Any]]:
        found = deployments_matching(body).select_related("work_queue__work_pool").order_by(*ORDERS[body.sort])
        listed = completed(self.paginate_queryset(without_large(found, *FREE_COLUMNS)), *FREE_COLUMNS)
        return deployments_out(listed, current_time())


class CountDeployments(Operation):
    """Count deployments."""

    method = "POST"
    action_required = Action.READ_DEPLOYMENTS
    answers = {200: int}
    body_optional = True

    def perform(self, body: DeploymentSearch) -> int:
        return deployments_matching(body).count()


class PauseDeployment(Operation):
    """Stop planning runs of a deployment, and delete the planned ones."""

    method = "POST"
    action_required = Action.CHANGE_DEPLOYMENTS
    odd_id = 404
    answers = {200: None}

    def perform(self, id: UUID) -> None:
        set_paused(deployment_id=id, paused=True, now=current_time())


class PauseUnlessServed(Operation):
    """Pause a deployment if no agent serves its queue. Returns whether it was paused."""

    method = "POST"
    action_required = Action.CHANGE_DEPLOYMENTS
    answers = {200: bool}

    def perform(self, id: UUID) -> bool:
        return pause_unless_served(deployment_id=id, now=current_time())


class ResumeDeployment(Operation):
    """Plan runs of a deployment again, from now on."""

    method = "POST"
    action_required = Action.CHANGE_DEPLOYMENTS
    odd_id = 404
    answers = {200: None}

    def perform(self, id: UUID) -> None:
        set_paused(deployment_id=id, paused=False, now=current_time())


class SetScheduleActive(ResumeDeployment):
    """Resume a deployment (older name)."""


class SetScheduleInactive(PauseDeployment):
    """Pause a deployment (older name)."""


@contextmanager
def _refusing_definitions() -> Iterator[None]:
    """Answer the errors of creating a deployment with the statuses that clients know."""
    try:
        with reporting_bad_templates():
            yield
    except (FlowNotFound, BlockDocumentNotFound) as error:
        # A missing pool is a 404; these two have always been conflicts.
        raise Refused(f"{INTEGRITY} {error}", 409) from None
    except ParametersMisfit as error:
        # Here the parameters are part of the request (422); elsewhere they conflict with stored data (409).
        raise Refused(str(error)) from None


def _definition_of(body: contract.DeploymentCreate | contract.DeploymentCheck) -> dict[str, Any]:
    """Return a deployment that was sent as the arguments of the services that create and check one."""
    sent = schedules_in(body)
    return {
        "name": body.name,
        "columns": {**columns_of(body), **sent.columns},
        "schedules": sent.wanted or (),
        "pool_name": body.work_pool_name,
        "queue_name": body.work_queue_name,
    }


def _refuse_new_deployments(**which: Any) -> None:
    """Refuse new deployments to users with rights on named deployments only. Raises BeyondRights."""
    if sees_in_part() and not Deployment.objects.filter(**which).exists():
        raise BeyondRights(what="a new deployment")


def deployments_out(deployments: Sequence[Deployment], now: datetime) -> list[dict[str, Any]]:
    schedules, ready = schedules_of(one.pk for one in deployments), ready_deployments(deployments, now)
    return [
        deployment_out(
            one, [schedule_out(own, calendar_names(own)) for own in schedules[one.pk]], ready=one.pk in ready
        )
        for one in deployments
    ]


def _found(which: Q) -> dict[str, Any]:
    deployment = existing(
        Deployment.objects.select_related("work_queue__work_pool").filter(which).first(), "Deployment"
    )
    return deployments_out([deployment], current_time())[0]
