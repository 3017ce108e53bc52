"""Many transitions of task runs in one request, as the SDK streams them while a flow runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from orchestration.api.fencing import attempt_named, names_an_attempt
from orchestration.api.operations import Operation
from orchestration.api.states import proposed_state, state_out
from orchestration.batch import ItemOutcome, TaskRunTransition, apply_task_run_transitions
from orchestration.collector import collection_put_off
from orchestration.core.states import State
from orchestration.core.verdicts import Abort, Accept, Reject, Wait
from orchestration.database_clock import current_time
from orchestration.measured import report_delay
from orion_site.accounts.permissions import Action, refuse_unserved
from orionflow.contract.transitions import TransitionBatch, TransitionItem, TransitionResult, TransitionResults
from runs.task_runs.schemas import new_task_run

# Most items are accepted as proposed; they share one result.
ACCEPTED: TransitionResult = {"status": "ACCEPT"}


class ApplyTaskRunTransitions(Operation):
    """Create task runs and propose their states, many at once, in one transaction and in their order.

    Each item passes the same rules as if it came alone. Ids and timestamps are the sender's, so a repeat of the batch
    changes nothing.
    """

    method = "POST"
    action_required = Action.REPORT_RUNS
    masks_secrets = True
    reports = True
    answers = {200: TransitionResults}
    # An outdated attempt gets its results item by item, because a batch may contain several attempts.
    fences_itself = True

    def reported_runs(self, body: TransitionBatch) -> Iterable[tuple[str, UUID | None]]:
        made = {item.task_run_id for item in body.items if item.task_run}
        for item in body.items:
            if item.task_run:
                yield "runs_flowrun", item.task_run.flow_run_id
            elif item.task_run_id not in made:
                yield "runs_taskrun", item.task_run_id

    def named_rows(self, body: TransitionBatch) -> Iterable[tuple[str, UUID | None]]:
        return (("runs_taskrun", item.task_run_id) for item in body.items)

    def is_recorded(self) -> bool:
        """Whether to record the request: it forces states, and does not come from a run."""
        asks = self.request.user
        is_of_a_run = asks.run_id is not None or (asks.user_id is None and names_an_attempt(self.request))
        return not is_of_a_run and self.body is not None and any(item.force for item in self.body.items)

    def recorded_as(self) -> str:
        return "ForceTaskRunTransitions"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with collection_put_off():
            response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response

    def perform(self, body: TransitionBatch) -> TransitionResults:
        if forced := list(_forced_rows(body)):
            refuse_unserved(self.request, forced)
        items = [_transition(item) for item in body.items]
        outcome = apply_task_run_transitions(
            items=items,
            now=current_time(),
            sent_at=body.sent_at,
            epochs=body.epochs or {},
            writer=attempt_named(self.request),
        )
        _measure(body)
        return {"results": list(map(_result, items, outcome.items)), "orders": outcome.orders}


def _forced_rows(body: TransitionBatch) -> Iterator[tuple[str, UUID | None]]:
    """Yield the task runs whose states are forced, and the flow runs of those that the batch creates.

    The other items of a batch are ordinary reports: a program may send them about runs that no agent holds.
    """
    forced = {item.task_run_id for item in body.items if item.force}
    for item in body.items:
        if item.task_run_id in forced:
            yield "runs_taskrun", item.task_run_id
            if item.task_run:
                yield "runs_flowrun", item.task_run.flow_run_id


def _measure(body: TransitionBatch) -> None:
    """Measure how long the first report of the batch took to arrive; the steps of a batch are in order."""
    first = body.items[0].state if body.items else None
    if body.sent_at is not None and first is not None and first.timestamp is not None:
        report_delay.observe((body.sent_at - first.timestamp).total_seconds())


def _transition(item: TransitionItem) -> TaskRunTransition:
    return TaskRunTransition(
        item.task_run_id,
        new_task_run(item.task_run) if item.task_run else None,
        proposed_state(item.state, keep_identity=True) if item.state else None,
        item.force,
    )


def _result(item: TaskRunTransition, came: ItemOutcome) -> TransitionResult:
    if came.error is not None:
        return {"status": "ERROR", "code": came.error.code, "reason": str(came.error)}
    if came.outcome is None:
        return _with_id(item, came, ACCEPTED)
    result = _verdict(came.outcome.verdict)
    state = came.outcome.state
    if state is not None and not _as_proposed(state, item.proposed):
        result = {**result, "state": state_out(state)}
    return _with_id(item, came, result)


def _verdict(verdict: Accept | Reject | Wait | Abort) -> TransitionResult:
    match verdict:
        case Accept():
            return ACCEPTED
        case Wait():
            return {"status": "WAIT", "reason": verdict.reason, "delay_seconds": verdict.seconds}
        case Reject():
            return {"status": "REJECT", "reason": verdict.reason}
        case Abort():
            return {"status": "ABORT", "reason": verdict.reason}


def _with_id(item: TaskRunTransition, came: ItemOutcome, result: TransitionResult) -> TransitionResult:
    return result if came.task_run_id == item.task_run_id else {**result, "task_run_id": came.task_run_id}


def _as_proposed(state: State, proposed: State | None) -> bool:
    """Whether the sender knows the state already. A different timestamp alone is not worth returning the state."""
    return (
        proposed is not None
        and proposed.timestamp is not None
        and state.id == proposed.id
        and state.type is proposed.type
        and state.name == proposed.name
    )
