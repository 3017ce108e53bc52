"""The one writer of state. A proposal is judged by the rules, written down with their trail, and performed, or refused.

Everything here happens in one transaction that holds the run; what is announced is announced after its commit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from orchestration import announce, perform
from orchestration.columns import spelling, with_own_ids
from orchestration.core.bookkeeping import settle
from orchestration.core.decide import Decision, Judgement, Policy, Transition, decide
from orchestration.core.effects import (
    CancelRuns,
    Effect,
    EndLease,
    ExpireCaches,
    MirrorToParentTask,
    ReleaseSlots,
    RememberResult,
    TakeSlots,
)
from orchestration.core.policies import MINIMAL_FLOW, MINIMAL_TASK, usual_policy
from orchestration.core.results import taken_apart
from orchestration.core.runs import Run
from orchestration.core.states import State, StateType
from orchestration.core.verdicts import Abort, Accept, Reject, Wait
from orchestration.errors import RunLost, StateIdTaken
from orchestration.facts import StoredFacts
from orchestration.record import insert_state, next_timestamp, state_row, update_refusal, update_run, verdict_name
from orchestration.stored import FLOW_RUNS, TASK_RUNS, StoredRun, Tables, locked_run, read_states
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.ids import uuid7


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a proposal came to."""

    verdict: Accept | Reject | Wait | Abort
    state: State | None
    written: bool
    trail: tuple[Judgement, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A state that somebody wants for a run. `epoch` is the attempt that asks; `author` is null for its own client.

    With `new_attempt` the state begins another attempt: what the one before still sends is refused from then on.
    `policy` names the rules to ask where they are neither all nor those of a forced state.
    """

    state: State
    now: datetime
    epoch: int | None = None
    force: bool = False
    author: str | None = None
    new_attempt: bool = False
    policy: Policy | None = None
    # When the state was entered, where that was before it could be told.
    at: datetime | None = None


@repeated_on_conflict
def propose_flow_run_state(
    *,
    run_id: UUID,
    proposed: State,
    now: datetime,
    epoch: int | None = None,
    force: bool = False,
    author: str | None = None,
    at: datetime | None = None,
) -> Outcome:
    """Propose `proposed` for a flow run. Raises FlowRunNotFound, and RunLost for a writer of an earlier attempt."""
    with write_transaction():
        return propose(FLOW_RUNS, run_id, Proposal(proposed, now, epoch, force, author, at=at))


@repeated_on_conflict
def propose_task_run_state(
    *,
    run_id: UUID,
    proposed: State,
    now: datetime,
    epoch: int | None = None,
    force: bool = False,
    author: str | None = None,
    at: datetime | None = None,
) -> Outcome:
    """Propose `proposed` for a task run. Raises TaskRunNotFound, and RunLost for a writer of an earlier attempt."""
    with write_transaction():
        return propose(TASK_RUNS, run_id, Proposal(proposed, now, epoch, force, author, at=at))


def propose(tables: Tables, run_id: UUID, proposal: Proposal) -> Outcome:
    """The same, inside a transaction that the caller opened."""
    stored = locked_run(tables, run_id)
    if repeated := _answer_given_before(tables, stored, proposal.state.id):
        return repeated
    if proposal.epoch is not None and proposal.epoch != stored.epoch:
        raise RunLost(id=stored.run.flow_run_id or run_id, epoch=proposal.epoch, current=stored.epoch)
    transition = Transition(stored.run, stored.state, with_scheduled_time(proposal.state, proposal.now))
    decision = decide(
        transition, proposal.policy or policy_for(stored.run, proposal.force), StoredFacts(stored, proposal.now)
    )
    if decision.state is None:
        update_refusal(tables, run_id, decision, proposal.state, proposal.now)
        return Outcome(decision.verdict, stored.state, False, decision.trail)
    state = _write(tables, stored, decision, proposal)
    perform_all(decision.effects, stored, state, proposal.now, state.timestamp if proposal.at else None)
    announce.runs_changed([(tables.kind, run_id, state.type.value)])
    if stored.agent_id is not None and proposal.epoch is None:
        # Not the attempt itself wants this, so whoever executes it does not know yet.
        announce.runs_changed([("agent", stored.agent_id, state.type.value)])
    return Outcome(decision.verdict, state, True, decision.trail)


def policy_for(run: Run, force: bool) -> Policy:
    if not force:
        return usual_policy(run)
    return MINIMAL_FLOW if run.kind == "flow-run" else MINIMAL_TASK


def with_scheduled_time(proposed: State, now: datetime) -> State:
    if proposed.type is StateType.SCHEDULED and proposed.details.scheduled_time is None:
        return proposed.with_details(scheduled_time=now)
    return proposed


def _answer_given_before(tables: Tables, stored: StoredRun, proposal_id: UUID | None) -> Outcome | None:
    """A client that lost the answer asks again with the same id, and gets the same answer."""
    if proposal_id is None:
        return None
    given = read_states(tables, [proposal_id], {stored.run.id: other_own_id(stored.run)}).get(proposal_id)
    if given is None:
        return None
    if given.run_id != stored.run.id:
        raise StateIdTaken(id=proposal_id)
    return Outcome(given.verdict, given.state, True, given.trail)


def other_own_id(run: Run) -> UUID | None:
    """What the details of a run's states name besides itself: its flow run, or the task run that a nested one is."""
    return run.flow_run_id if run.kind == "task-run" else run.parent_task_run_id


def _write(tables: Tables, stored: StoredRun, decision: Decision, proposal: Proposal) -> State:
    assert decision.state is not None
    accepted = isinstance(decision.verdict, Accept)
    data, shown = taken_apart(decision.state.data)
    state = replace(
        decision.state,
        id=(proposal.state.id if accepted else None) or uuid7(),
        timestamp=next_timestamp(stored.state, proposal.at or proposal.now),
        data=data,
        details=with_own_ids(decision.state.details, *own_ids(stored.run)),
    )
    epoch = stored.epoch + 1 if proposal.new_attempt else stored.epoch
    row = state_row(
        spelling(),
        stored.run.id,
        state,
        seq=stored.seq + 1,
        trail=decision.trail,
        verdict=verdict_name(decision),
        proposal_id=None if accepted else proposal.state.id,
        client_timestamp=proposal.state.timestamp,
        epoch=epoch,
        author=proposal.author,
    )
    watched = insert_state(tables, row)
    update_run(tables, stored, settle(decision.run, stored.state, state), state, proposal.now, epoch=epoch)
    if watched:
        tell_watchers(stored, state, proposal.now)
    if shown:
        perform.show_result(shown, stored, proposal.now)
    return state


def tell_watchers(stored: StoredRun, state: State, now: datetime) -> None:
    """Write down, in this transaction, what policies and automations want to know of a flow run's new state."""
    from events.recording.outbox import flow_run_changed  # most installations never need it

    flow_run_changed(stored.run.id, stored.state, state, now)


def own_ids(run: Run) -> tuple[UUID | None, UUID | None]:
    """The flow run and the task run that the details of this run's states name."""
    return (run.flow_run_id, run.id) if run.kind == "task-run" else (run.id, run.parent_task_run_id)


def perform_all(
    effects: tuple[Effect, ...], stored: StoredRun, state: State, now: datetime, at: datetime | None = None
) -> None:
    for effect in effects:
        match effect:
            case TakeSlots():
                perform.take_slots(effect, stored, now)
            case ReleaseSlots():
                perform.release_slots(effect, stored)
            case EndLease():
                perform.end_lease(stored)
            case RememberResult():
                assert state.id is not None
                perform.remember_result(effect, state.id, now)
            case ExpireCaches():
                perform.expire_caches(effect, stored)
            case MirrorToParentTask():
                _mirror_to_parent_task(effect, stored.run.id, state, now, at)
            case CancelRuns():
                _cancel_runs(effect, now)


def _mirror_to_parent_task(
    effect: MirrorToParentTask, child_id: UUID, state: State, now: datetime, at: datetime | None
) -> None:
    copy = replace(state.with_details(child_flow_run_id=child_id, transition_id=None), id=None, timestamp=None)
    try:
        if state.type is StateType.PENDING and _awaits(effect.parent_task_run_id, child_id):
            return
        propose(TASK_RUNS, effect.parent_task_run_id, Proposal(copy, now, force=True, at=at))
    except TASK_RUNS.missing:
        # The parent flow run was deleted with its task runs; the child goes on without them.
        return


def _awaits(task_run_id: UUID, child_id: UUID) -> bool:
    """Whether the task run says already that this nested run is about to begin."""
    current = locked_run(TASK_RUNS, task_run_id).state
    return current is not None and current.type is StateType.PENDING and current.details.child_flow_run_id == child_id


def _cancel_runs(effect: CancelRuns, now: datetime) -> None:
    for run_id in sorted(effect.flow_run_ids):
        propose(FLOW_RUNS, run_id, Proposal(effect.proposed, now, author="overlap"))
