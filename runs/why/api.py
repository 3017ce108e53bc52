"""Why a run is where it is."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NotRequired
from uuid import UUID

from django.utils import timezone
from typing_extensions import TypedDict

from orchestration.api.errors import Missing
from orchestration.api.operations import Operation
from orchestration.api.states import stored_state_out
from orchestration.core.states import StateType
from orion_site.accounts.permissions import Action
from orionflow.contract.runs import StateOut
from runs.models import FlowRun, StateRow
from runs.why.selectors.blockers import Reason
from runs.why.selectors.why import Why, why_flow_run, why_task_run


class HolderOut(TypedDict):
    """Who is in the way."""

    kind: Literal["flow-run", "task-run"]
    id: UUID
    name: str
    flow_run_id: NotRequired[UUID | None]
    state_type: NotRequired[str | None]
    since: NotRequired[datetime | None]


class ReasonOut(TypedDict):
    code: str
    text: str
    fix: str | None
    since: datetime | None
    holders: NotRequired[list[HolderOut]]


class JudgementOut(TypedDict):
    rule: str
    verdict: str
    reason: str


class HistoryEntryOut(TypedDict):
    seq: int
    state_id: UUID
    type: StateType
    name: str
    timestamp: datetime
    verdict: str
    author: str | None
    message: str | None
    trail: list[JudgementOut]


class WhyOut(TypedDict):
    """A run's state, what keeps it there, how it came there, and the last proposal that was refused."""

    run_id: UUID
    kind: Literal["flow-run", "task-run"]
    state: StateOut | None
    moving: bool
    reasons: list[ReasonOut]
    history: list[HistoryEntryOut]
    refusal: dict[str, Any] | None


class ExplainFlowRun(Operation):
    """Say why a flow run is where it is."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: WhyOut}

    def perform(self, id: UUID) -> WhyOut:
        why = why_flow_run(run_id=id, now=timezone.now())
        if why is None:
            raise Missing("Flow run")
        return why_out(why)


class ExplainTaskRun(Operation):
    """Say why a task run is where it is."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: WhyOut}

    def perform(self, id: UUID) -> WhyOut:
        why = why_task_run(run_id=id, now=timezone.now())
        if why is None:
            raise Missing("Task run")
        return why_out(why)


def why_out(why: Why) -> WhyOut:
    return {
        "run_id": why.run_id,
        "kind": why.kind,
        "state": _state_out(why) if why.state else None,
        "moving": why.moving,
        "reasons": [_reason_out(reason) for reason in why.reasons],
        "history": [_entry_out(state) for state in why.history],
        "refusal": why.refusal,
    }


def _state_out(why: Why) -> StateOut:
    if isinstance(why.run, FlowRun):
        return stored_state_out(why.state, flow_run_id=why.run.id, task_run_id=why.run.parent_task_run_id)
    return stored_state_out(why.state, flow_run_id=why.run.flow_run_id, task_run_id=why.run.id)


def _reason_out(reason: Reason) -> ReasonOut:
    moment_text: ReasonOut = {"code": reason.code, "text": reason.text, "fix": reason.fix, "since": reason.since}
    holders: Any = reason.holders
    return moment_text if holders is None else {**moment_text, "holders": holders}


def _entry_out(state: StateRow) -> HistoryEntryOut:
    return {
        "seq": state.seq,
        "state_id": state.id,
        "type": StateType(state.type),
        "name": state.name,
        "timestamp": state.timestamp,
        "verdict": state.verdict,
        "author": state.author,
        "message": state.message,
        "trail": [{"rule": rule, "verdict": verdict, "reason": reason} for rule, verdict, reason in state.trail],
    }
