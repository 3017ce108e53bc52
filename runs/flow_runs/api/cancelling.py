"""Cancelling a flow run, with a choice that a proposed state cannot carry: what to do with its nested runs."""

from __future__ import annotations

from uuid import UUID

from rest_framework.response import Response

from orchestration.api.operations import Operation
from orchestration.api.states import result_of
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract.runs import Cancellation, OrchestrationResult
from runs.flow_runs.commands import cancel_flow_run, cancel_flow_run_alone


class CancelFlowRun(Operation):
    """Ask a flow run to stop: one that has not started is cancelled at once, a running one at its next step.

    Runs that are nested in it are cancelled after it, unless they are detached.
    """

    method = "POST"
    action_required = Action.CHANGE_RUNS
    answers = {201: OrchestrationResult, 200: OrchestrationResult}
    body_optional = True

    def perform(self, id: UUID, body: Cancellation) -> Response:
        now = current_time()
        if body.detach:
            outcome, _ = cancel_flow_run_alone(run_id=id, now=now, message=body.message)
        else:
            outcome = cancel_flow_run(run_id=id, now=now, message=body.message)
        return result_of(outcome)
