"""Commands to a flow run as a whole: resume after a pause, cancel, retry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from deployments.blocks.selectors import filled_in
from deployments.definitions.core.hydration import BadTemplate
from deployments.definitions.core.parameters import mismatch
from orchestration.core.states import TERMINAL, State, StateType, awaiting_retry, cancelling, resuming, running
from orchestration.core.verdicts import Abort, Reject
from orchestration.errors import FlowRunNotFound
from orchestration.proposals import Outcome, Proposal
from orchestration.services import judge_flow_run_states, propose, propose_flow_run_state
from orchestration.stored import StoredRun, read_runs
from orchestration.tables import FLOW_RUNS, lock
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.inputs.selectors import schema_in
from runs.models import FlowRun, FlowRunInput

NOT_ENDED = "this run has not ended"
PAUSED_AGAIN = "It has paused again since, and may ask for something else."


@repeated_on_conflict
def resume_flow_run(
    *,
    run_id: UUID,
    run_input: dict[str, Any] | None,
    now: datetime,
    author: str | None = None,
    pause: UUID | None = None,
) -> Outcome:
    """Resume a paused run: as RUNNING in its own process, or, if it was suspended, as SCHEDULED.

    If the pause waits for input, `run_input` is validated against the schema of the pause and stored first. With the id
    of a paused state as `pause`, a run that has paused again since is left alone: it asks for something else.
    """
    with write_transaction():
        lock(FLOW_RUNS, [run_id])
        stored = read_runs(FLOW_RUNS, [run_id]).get(run_id)
        if stored is None:
            raise FlowRunNotFound(id=run_id)
        if stored.state is None or stored.state.type is not StateType.PAUSED:
            return Outcome(Abort("Cannot resume a run that is not paused."), None, False, ())
        if pause is not None and stored.state.id != pause:
            return Outcome(Abort(PAUSED_AGAIN), stored.state, False, ())
        if refusal := _give_input(stored, run_input, now):
            return Outcome(Reject(refusal), stored.state, False, ())
        onwards = resuming(now) if stored.state.details.pause_reschedule else running()
        return propose(FLOW_RUNS, run_id, Proposal(onwards, now, author=author))


def _give_input(stored: StoredRun, run_input: dict[str, Any] | None, now: datetime) -> str | None:
    """Store the answer that the pause waits for. Return a message if it is not valid."""
    assert stored.state is not None
    keyset = stored.state.details.run_input_keyset
    if not keyset:
        return None
    schema = FlowRunInput.objects.filter(flow_run_id=stored.run.id, key=keyset["schema"]).values_list("value").first()
    asked = schema_in(schema[0] if schema else None)
    if isinstance(asked, str):
        return asked
    try:
        given = filled_in(run_input or {})
    except BadTemplate as error:
        return f"Error hydrating run input: {error}"
    if problem := mismatch(given, asked):
        return f"Run input validation failed: {problem}"
    FlowRunInput.objects.update_or_create(
        flow_run_id=stored.run.id,
        key=keyset["response"],
        defaults={"value": json.dumps(given), "updated": now},
        create_defaults={"value": json.dumps(given), "created": now},
    )
    return None


def cancel_flow_run(*, run_id: UUID, now: datetime, author: str | None = None, message: str | None = None) -> Outcome:
    """Ask a run to stop. One that has not started is cancelled at once; a running one with its next report."""
    return propose_flow_run_state(run_id=run_id, proposed=cancelling(message), now=now, author=author)


@repeated_on_conflict
def cancel_flow_run_alone(
    *, run_id: UUID, now: datetime, author: str | None = None, message: str | None = None
) -> tuple[Outcome, list[UUID]]:
    """Ask a run to stop, but let nested runs that have a deployment continue as runs of their own; return these too.

    Nested runs without a deployment execute in the process of the run, and stop with it.
    """
    with write_transaction():
        outcome = propose(FLOW_RUNS, run_id, Proposal(cancelling(message), now, author=author))
        nested = _with_processes_of_their_own(run_id) if outcome.written else []
        FlowRun.objects.filter(pk__in=nested).update(parent_task_run=None, updated=now)
    return outcome, nested


def _with_processes_of_their_own(run_id: UUID) -> list[UUID]:
    found, level = [], [run_id]
    while level:
        nested = FlowRun.objects.unfinished().filter(parent_task_run__flow_run__in=level)
        rows = list(nested.order_by("pk").values_list("pk", "deployment_id"))
        found += [pk for pk, deployment_id in rows if deployment_id is not None]
        level = [pk for pk, deployment_id in rows if deployment_id is None]
    return found


@repeated_on_conflict
def retry_flow_run(*, run_id: UUID, now: datetime, author: str | None = None) -> Outcome:
    """Schedule another attempt of a finished run; the rules decide whether that is possible."""
    with write_transaction():
        lock(FLOW_RUNS, [run_id])
        stored = read_runs(FLOW_RUNS, [run_id]).get(run_id)
        if stored is None:
            raise FlowRunNotFound(id=run_id)
        if stored.state is None or stored.state.type not in TERMINAL:
            return Outcome(Abort(NOT_ENDED), stored.state, False, ())
        return propose(FLOW_RUNS, run_id, Proposal(_again(now), now, author=author))


def _again(now: datetime) -> State:
    return awaiting_retry(now, message="Tried again on request.")


def why_left_out(run: FlowRun) -> str:
    """Return why a retry of many runs leaves this one out: completed runs are, even where the rules would allow it."""
    return "it completed" if run.state_type == StateType.COMPLETED else ""


def refusals_to_cancel(runs: Sequence[FlowRun], *, now: datetime) -> dict[UUID, str]:
    """Return the reasons why runs could not be cancelled, by run; by the same rules as `cancel_flow_run`."""
    outcomes = judge_flow_run_states(run_ids=[run.pk for run in runs], proposed=cancelling(), now=now)
    return {run_id: outcome.refusal for run_id, outcome in outcomes.items() if outcome.refusal}


def refusals_to_retry(runs: Sequence[FlowRun], *, now: datetime) -> dict[UUID, str]:
    """Return the reasons why runs could not be retried, by run; by the same rules as `retry_flow_run`."""
    left_out = {run.pk: reason for run in runs if (reason := why_left_out(run))}
    open_runs = {run.pk: NOT_ENDED for run in runs if run.state_type not in TERMINAL}
    asked = [run.pk for run in runs if run.pk not in left_out and run.pk not in open_runs]
    outcomes = judge_flow_run_states(run_ids=asked, proposed=_again(now), now=now)
    refused = {run_id: outcome.refusal for run_id, outcome in outcomes.items() if outcome.refusal}
    return {**left_out, **open_runs, **refused}
