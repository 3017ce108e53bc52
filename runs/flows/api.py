"""Flows: create by name, read, tag, delete."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from rest_framework.response import Response

from orchestration.api.answers import as_answer
from orchestration.api.errors import Missing, existing
from orchestration.api.operations import Operation
from orchestration.database_clock import current_time
from orchestration.errors import BeyondRights
from orchestration.sight import sees_in_part
from orion_site.accounts.permissions import Action
from orionflow.contract import runs as contract
from orionflow.contract.wire import Shaped
from runs.flows.services import create_flow, delete_flow, update_flow
from runs.models import Flow

FlowOut = Annotated[dict[str, Any], Shaped(contract.Flow)]


class CreateFlow(Operation):
    """Create a flow, or return the one that has this name."""

    method = "POST"
    action_required = Action.REPORT_RUNS
    by_sight = True
    answers = {201: FlowOut, 200: FlowOut}

    def perform(self, body: contract.FlowCreate) -> Response:
        # A run may call a new flow; a user who sees only some flows may not create one.
        is_person = self.request.user.run_id is None
        if is_person and sees_in_part() and not Flow.objects.filter(name=body.name).exists():
            raise BeyondRights(what="a new flow")
        flow, created = create_flow(name=body.name, tags=body.tags, now=current_time())
        return Response(as_answer(contract.Flow, flow), status=201 if created else 200)


class ReadFlow(Operation):
    """Read a flow by its id."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: FlowOut}

    def perform(self, id: UUID) -> FlowOut:
        return _found(Flow.objects.filter(pk=id).first())


class ReadFlowByName(Operation):
    """Read a flow by its name."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: FlowOut}

    def perform(self, name: str) -> FlowOut:
        return _found(Flow.objects.filter(name=name).first())


class UpdateFlow(Operation):
    """Replace a flow's tags."""

    method = "PATCH"
    action_required = Action.CHANGE_RUNS
    answers = {204: None}

    def perform(self, id: UUID, body: contract.FlowUpdate) -> None:
        if body.tags is not None:
            update_flow(flow_id=id, tags=body.tags, now=current_time())
        elif not Flow.objects.filter(pk=id).exists():
            raise Missing("Flow")


class DeleteFlow(Operation):
    """Delete a flow with its runs and deployments."""

    method = "DELETE"
    action_required = Action.CHANGE_DEPLOYMENTS
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        delete_flow(flow_id=id)


def _found(flow: Flow | None) -> FlowOut:
    return as_answer(contract.Flow, existing(flow, "Flow"))
