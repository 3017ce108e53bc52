"""The explanation of a run's state."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from orchestration.api.answers import as_answer
from orchestration.api.errors import existing
from orchestration.api.operations import Operation
from orchestration.api.states import stored_state_out
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import explanations as contract
from orionflow.contract.runs import StateOut
from orionflow.contract.wire import Shaped
from runs.models import FlowRun, StateRow
from runs.why.selectors.why import Why, why_flow_run, why_task_run

WhyOut = Annotated[dict[str, Any], Shaped(contract.Why)]


class ExplainFlowRun(Operation):
    """Explain the state of a flow run."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: WhyOut}

    def perform(self, id: UUID) -> WhyOut:
        why = existing(why_flow_run(run_id=id, now=current_time()), "Flow run")
        return why_out(why)


class ExplainTaskRun(Operation):
    """Explain the state of a task run."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: WhyOut}

    def perform(self, id: UUID) -> WhyOut:
        why = existing(why_task_run(run_id=id, now=current_time()), "Task run")
        return why_out(why)


def why_out(why: Why) -> WhyOut:
    return as_answer(
        contract.Why,
        why,
        state=_state_out(why) if why.state else None,
        reasons=[as_answer(contract.WhyReason, reason) for reason in why.reasons],
        history=[_entry_out(state) for state in why.history],
    )


def _state_out(why: Why) -> StateOut:
    if isinstance(why.run, FlowRun):
        return stored_state_out(why.state, flow_run_id=why.run.id, task_run_id=why.run.parent_task_run_id)
    return stored_state_out(why.state, flow_run_id=why.run.flow_run_id, task_run_id=why.run.id)


def _entry_out(state: StateRow) -> dict[str, Any]:
    trail = [{"rule": rule, "verdict": verdict, "reason": reason} for rule, verdict, reason in state.trail]
    return as_answer(contract.HistoryEntry, state, state_id=state.id, trail=trail)
