"""Proposing one state for one run, and resuming a paused one."""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID

from django.utils import timezone
from pydantic import TypeAdapter, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from orchestration.api.errors import InvalidRequest, complaints_of
from orchestration.api.operations import Operation
from orchestration.api.states import OrchestrationResult, StateCreate, proposed_state, result_of
from orchestration.services import propose_flow_run_state, propose_task_run_state
from orchestration.wire import Natural, Wire
from orion_site.accounts.permissions import Action


class SetState(Wire):
    state: StateCreate
    force: bool = False


class StateProposal(Operation):
    """What the two operations below share."""

    method = "POST"
    action_required = Action.REPORT_RUNS
    answers = {201: OrchestrationResult, 200: OrchestrationResult}
    orchestrates = True

    def proposal(self, body: SetState) -> dict[str, Any]:
        own_id = _header(self.request, "Orion-Proposal-Id", UUID)
        proposed = proposed_state(body.state, keep_identity=False)
        if own_id is not None:
            proposed = proposed_state(body.state.model_copy(update={"id": own_id}), keep_identity=True)
        epoch = self._epoch()
        return {"proposed": proposed, "now": timezone.now(), "epoch": epoch, "force": body.force}

    def _epoch(self) -> int | None:
        """The attempt of this very run that proposes; with another run's id the header speaks of that one."""
        writer = _header(self.request, "Orion-Run-Id", UUID)
        if writer is not None and str(writer) != str(self.kwargs.get("id")):
            return None
        epoch: int | None = _header(self.request, "Orion-Run-Epoch", Natural)
        return epoch


class SetFlowRunState(StateProposal):
    """Propose a state for a flow run; the rules accept, replace, delay or refuse it.

    With the header `Orion-Proposal-Id` the call may be repeated: the same id gets the same verdict.
    `Orion-Run-Epoch` says which attempt reports; a report of an attempt that was replaced is answered with 409.
    """

    def perform(self, id: UUID, body: SetState) -> Response:
        return result_of(propose_flow_run_state(run_id=id, **self.proposal(body)))


class SetTaskRunState(StateProposal):
    """Propose a state for a task run; headers as for flow runs."""

    def perform(self, id: UUID, body: SetState) -> Response:
        return result_of(propose_task_run_state(run_id=id, **self.proposal(body)))


def _header(request: Request, name: str, kind: Any) -> Any:
    value = request.headers.get(name)
    if value is None:
        return None
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as error:
        raise InvalidRequest(complaints_of(error, "header", name)) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
