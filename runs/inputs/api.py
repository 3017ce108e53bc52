"""Values sent to a flow run from outside, and resuming a paused run with one."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework.response import Response

from orchestration.api.answers import as_answer
from orchestration.api.errors import Missing, existing
from orchestration.api.operations import Operation
from orchestration.api.states import result_of
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, refuse_unserved
from orionflow.contract import records
from orionflow.contract.runs import OrchestrationResult, Resume
from orionflow.contract.wire import Shaped
from runs.flow_runs.commands import resume_flow_run
from runs.inputs.services import create_flow_run_input, delete_flow_run_input
from runs.models import FlowRun, FlowRunInput

FlowRunInputOut = Annotated[dict[str, Any], Shaped(records.FlowRunInput)]


class ResumeFlowRun(Operation):
    """Let a paused flow run continue; a pause that waits for input takes `run_input`, checked against its schema."""

    method = "POST"
    action_required = Action.CHANGE_RUNS
    answers = {201: OrchestrationResult, 200: OrchestrationResult}
    body_optional = True
    orchestrates = True

    def perform(self, id: UUID, body: Resume) -> Response:
        return result_of(resume_flow_run(run_id=id, run_input=body.run_input, now=current_time()))


class CreateFlowRunInput(Operation):
    """Send a value to a flow run under a new key."""

    method = "POST"
    action_required = Action.SEND_INPUTS
    allowed_too = Action.CHANGE_RUNS
    answers = {201: None}

    def perform(self, id: UUID, body: records.NewInput) -> None:
        refuse_unserved(self.request)
        create_flow_run_input(flow_run_id=id, key=body.key, value=body.value, sender=body.sender, now=current_time())


class FilterFlowRunInput(Operation):
    """List the values of a flow run whose keys begin with `prefix`, oldest first."""

    method = "POST"
    action_required = Action.READ_RUNS
    answers = {200: list[FlowRunInputOut]}

    def perform(self, id: UUID, body: records.InputQuestion) -> list[FlowRunInputOut]:
        if not FlowRun.objects.filter(pk=id).exists():
            raise Missing("Flow run")
        found = FlowRunInput.objects.filter(flow_run=id, key__startswith=body.prefix)
        found = found.exclude(key__in=body.exclude_keys or ())
        return [
            as_answer(records.FlowRunInput, one)
            for one in found.order_by("created", "id")[: 1 if body.limit is None else body.limit]
        ]


class ReadFlowRunInput(Operation):
    """Read one value as it was sent."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: str}

    def perform(self, id: UUID, key: str) -> HttpResponse:
        value = existing(
            FlowRunInput.objects.filter(flow_run=id, key=key).values_list("value", flat=True).first(), "Flow run input"
        )
        return HttpResponse(value, content_type="text/plain; charset=utf-8")


class DeleteFlowRunInput(Operation):
    """Delete one value."""

    method = "DELETE"
    action_required = Action.REPORT_RUNS
    answers = {204: None}

    def perform(self, id: UUID, key: str) -> None:
        delete_flow_run_input(flow_run_id=id, key=key)
