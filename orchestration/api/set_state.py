"""Operations that propose a state for one run, and the rules about who may propose which."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from rest_framework.response import Response

from orchestration.api.fencing import EPOCH_HEADER, RUN_HEADER, names_an_attempt, read_header
from orchestration.api.operations import Operation
from orchestration.api.states import proposed_state, result_of
from orchestration.clocks import SENT_AT_HEADER, clock_offset, corrected
from orchestration.core.states import TERMINAL, StateType
from orchestration.database_clock import current_time
from orchestration.services import propose_flow_run_state, propose_task_run_state
from orion_site.accounts.permissions import Action, may_here, refuse_held_by_others, refuse_unserved
from orionflow.contract.runs import OrchestrationResult, SetState
from orionflow.contract.wire import Moment, Natural
from runs.models import FlowRunState

# States that users propose: to start or retry a run, to pause it, to cancel it.
OF_PEOPLE = frozenset({StateType.SCHEDULED, StateType.PAUSED, StateType.CANCELLING, StateType.CANCELLED})


class StateProposal(Operation):
    """The base of the operations that propose a state for a flow run or a task run."""

    method = "POST"
    action_required = Action.REPORT_RUNS
    masks_secrets = True
    allowed_too = Action.CHANGE_RUNS
    answers = {201: OrchestrationResult, 200: OrchestrationResult}
    orchestrates = True

    def is_recorded(self) -> bool:
        """Whether the audit log records it: only forced states, and only if the run does not force its own state."""
        return bool(self.body and self.body.force) and not self._is_of_the_run()

    def _is_of_the_run(self) -> bool:
        # Any client may name an attempt, so the headers prove nothing about a request with a key or a session.
        asks = self.request.user
        return asks.run_id is not None or (asks.user_id is None and names_an_attempt(self.request))

    def recorded_as(self) -> str:
        return type(self).__name__.replace("Set", "Force")

    def proposal(self, run_id: UUID, body: SetState) -> dict[str, Any]:
        own_id = read_header(self.request, "Orion-Proposal-Id", UUID)
        self._refuse_more_than_allowed(body)
        self._refuse_to_go_on(run_id, body, own_id)
        proposed = proposed_state(body.state, keep_identity=False)
        if own_id is not None:
            proposed = proposed_state(body.state.model_copy(update={"id": own_id}), keep_identity=True)
        now = current_time()
        return {
            "proposed": proposed,
            "now": now,
            "at": self._moment(body.state.timestamp, now),
            "epoch": self._epoch(run_id),
            "force": bool(body.force),
        }

    def _refuse_more_than_allowed(self, body: SetState) -> None:
        """Refuse states beyond the user's rights.

        A user moves runs; the run's process reports results. Forcing a state, which skips rules, needs a right of its
        own.
        """
        if body.force and not may_here(self.request, Action.FORCE_STATES):
            raise PermissionDenied("Your role does not allow to force a state: propose it without `force`.")
        if body.force:
            refuse_unserved(self.request)
        if body.state.type not in OF_PEOPLE and not may_here(self.request, Action.REPORT_RUNS):
            allowed = ", ".join(sorted(OF_PEOPLE))
            raise PermissionDenied(f"Your role does not allow to report {body.state.type}; you may propose {allowed}.")
        if (body.force or body.state.type not in OF_PEOPLE) and may_here(self.request, Action.CHANGE_RUNS):
            # For users without the right to change runs, this was checked before.
            refuse_held_by_others(self.request, ())

    def _refuse_to_go_on(self, run_id: UUID, body: SetState, own_id: UUID | None) -> None:
        """Refuse new states from an attempt that is over. It may repeat its reports, and report a final state."""
        asks = self.request.user
        if not asks.has_ended or asks.run_id != run_id or body.state.type in TERMINAL:
            return
        if own_id is None or not FlowRunState.objects.filter(pk=own_id, flow_run=run_id).exists():
            raise PermissionDenied(f"This attempt is over, and proposes no {body.state.type}: its lease has ended.")

    def _moment(self, reported: datetime | None, now: datetime) -> datetime | None:
        """Return when a state that is reported late was entered, by our clock; None if it is not reported late.

        Only reports that were kept while the API could not be reached carry the time at which they are sent.
        """
        sent_at = read_header(self.request, SENT_AT_HEADER, Moment)
        if sent_at is None or reported is None:
            return None
        return min(corrected(reported, clock_offset(now, sent_at), now), now)

    def _epoch(self, run_id: UUID) -> int | None:
        """Return the epoch of the attempt that proposes, unless the headers name another run's attempt."""
        writer = read_header(self.request, RUN_HEADER, UUID)
        epoch: int | None = read_header(self.request, EPOCH_HEADER, Natural)
        return epoch if writer in {None, run_id} else None


class SetFlowRunState(StateProposal):
    """Propose a state for a flow run; the rules accept, replace, delay or refuse it.

    With the header `Orion-Proposal-Id` the call may be repeated: the same id gets the same verdict.
    `Orion-Sent-At`, the sender's clock, says that the state was kept while the API was away: then its own timestamp
    counts, though not one before the run's present state or after now.
    `Orion-Run-Epoch` says which attempt reports, with `Orion-Run-Id` also for a run that is nested in that one; a
    report of an attempt that was replaced is answered with 409.
    """

    def perform(self, id: UUID, body: SetState) -> Response:
        return result_of(propose_flow_run_state(run_id=id, **self.proposal(id, body)))


class SetTaskRunState(StateProposal):
    """Propose a state for a task run; headers as for flow runs."""

    def perform(self, id: UUID, body: SetState) -> Response:
        return result_of(propose_task_run_state(run_id=id, **self.proposal(id, body)))
