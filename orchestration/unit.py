"""The one writer of states: a unit of work loads runs, judges proposals in order, and writes the results.

All cases use it: a single proposal, a batch of a thousand, newly created runs, and the task run of a nested flow run
that follows it. It runs in a transaction that its caller opened and that locks the runs. Changes are announced after
the commit.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID
from weakref import WeakMethod

from orchestration import announce
from orchestration.acts import current_act, note
from orchestration.core.bookkeeping import settle
from orchestration.core.decide import Decision, ParentFlowRun, Transition, decide
from orchestration.core.effects import CancelRuns, MirrorToParentTask
from orchestration.core.folding import FoldedState, may_hold, unfold
from orchestration.core.results import taken_apart
from orchestration.core.runs import Run
from orchestration.core.states import NO_DETAILS, State, StateDetails, StateType
from orchestration.core.verdicts import ACCEPT, Accept
from orchestration.effects import Effects
from orchestration.errors import StateIdTaken
from orchestration.facts import Facts
from orchestration.json_columns import refusal_text, with_own_ids
from orchestration.moving import MovingRun
from orchestration.new_runs import NewFlowRun, NewRun
from orchestration.proposals import Outcome, Proposal, by_the_clock_of_the_run, policy_for, with_scheduled_time
from orchestration.stored import StoredRun, StoredState, read_runs, read_states
from orchestration.tables import FLOW_RUNS, TASK_RUNS, Row, Tables, dialect, json_text, lock, lock_free
from orchestration.writes import insert_runs, insert_states, state_row, unfolded_row, update_runs
from orionflow.contract.ids import uuid7
from orionflow.contract.states import BAD

_TICK = timedelta(microseconds=1)


class Unit:
    """Load or create runs, and propose states for them; `write` at the end.

    With `known_are_left_out`, new flow runs whose idempotency key is taken are dropped silently, together with their
    states, instead of failing.
    """

    def __init__(self, now: datetime, *, known_are_left_out: bool = False) -> None:
        self.now = now
        self.runs: dict[UUID, MovingRun] = {}
        self._known_are_left_out = known_are_left_out
        self._dialect = dialect()
        self._effects = Effects()
        # A weak reference: only a full garbage collection would free a cycle that contains all these runs.
        self.facts = Facts(self.runs, self._effects, now, WeakMethod(self._write_and_go_on))
        self._answers: dict[UUID, tuple[UUID, Outcome]] = {}
        # The states that were entered, in order: the run, the state before, the state, and its row unless it was
        # folded.
        self._entered: list[tuple[MovingRun, State | None, State, Row | None]] = []
        self._unfolded: list[Row] = []
        self._agents: list[announce.Change] = []

    # --- runs ----------------------------------------------------------------------------------------------------

    def load(self, tables: Tables, run_ids: Collection[UUID]) -> None:
        """Lock and read those of the runs that exist. Load flow runs before task runs, to avoid deadlocks."""
        ids = sorted(set(run_ids) - self.runs.keys())
        lock(tables, ids)
        self._read(tables, ids)

    def load_free(self, tables: Tables, run_ids: Sequence[UUID], most: int) -> list[UUID]:
        """Lock and read the first `most` of the runs that nobody has locked and that wait to start; return their ids.

        Do not wait for the others: the report of another agent would have to wait for this transaction, too.
        """
        free = lock_free(tables, run_ids, most)
        self._read(tables, free)
        return free

    def _read(self, tables: Tables, ids: Sequence[UUID]) -> None:
        for run_id, stored in read_runs(tables, ids).items():
            self.runs[run_id] = MovingRun.of(tables, stored)

    def run(self, tables: Tables, run_id: UUID) -> MovingRun:
        """Return the run, loaded if necessary. Raises FlowRunNotFound and TaskRunNotFound."""
        if run_id not in self.runs:
            self.load(tables, [run_id])
        if run_id not in self.runs:
            raise tables.missing(id=run_id)
        return self.runs[run_id]

    def create(self, new: NewRun, run_id: UUID, *, epoch: int = 0, parent: ParentFlowRun | None = None) -> MovingRun:
        """Return a new run without a row. `epoch` and `parent` are those of a task run's flow run."""
        policy = json_text(new.empirical_policy) if new.empirical_policy else "{}"
        stored = StoredRun(new.run(run_id, policy), None, 0, policy, False, epoch, parent=parent)
        if isinstance(new, NewFlowRun):
            stored.flow_id, stored.work_queue_id = new.flow_id, new.work_queue_id
        moving = self.runs[run_id] = MovingRun.of(new.tables, stored, new)
        return moving

    # --- proposals -----------------------------------------------------------------------------------------------

    def load_answers(self, tables: Tables, proposals: Mapping[UUID, UUID]) -> set[UUID]:
        """Look up earlier answers to these proposals, each for the run with this id. Return the known proposals."""
        folded = {id: (run_id, state) for id, run_id in proposals.items() if (state := self._folded(run_id, id))}
        self._answers |= {id: (run_id, _accepted(self.runs[run_id], state)) for id, (run_id, state) in folded.items()}
        # A run whose states are all folded has no other answers.
        asked = [id for id, run_id in proposals.items() if id not in folded and not self._is_folded(run_id)]
        other_ids = {run_id: _other_own_id(moving.run) for run_id, moving in self.runs.items()}
        given = read_states(tables, asked, other_ids)
        self._answers |= {proposal_id: (known.run_id, _repeated(known)) for proposal_id, known in given.items()}
        return {*folded, *given}

    def _is_folded(self, run_id: UUID) -> bool:
        return run_id in self.runs and self.runs[run_id].folded != b"" and self.runs[run_id].is_folded

    def _folded(self, run_id: UUID, state_id: UUID) -> FoldedState | None:
        moving = self.runs.get(run_id)
        if moving is None or not may_hold(moving.folded, state_id):
            return None
        return next((state for state in unfold(moving.folded) if state.id == state_id), None)

    def answer_given_before(self, moving: MovingRun, proposal_id: UUID | None) -> Outcome | None:
        """Return the earlier answer to this proposal, for a client that did not receive it. Raises StateIdTaken."""
        if proposal_id is None or proposal_id not in self._answers:
            return None
        run_id, outcome = self._answers[proposal_id]
        if run_id != moving.run.id:
            raise StateIdTaken(id=proposal_id)
        return outcome

    def propose(self, moving: MovingRun, proposal: Proposal) -> Outcome:
        """Judge one proposal on top of the changes of earlier ones."""
        before = moving.state
        proposal = by_the_clock_of_the_run(moving, proposal)
        proposed = with_scheduled_time(proposal.state, proposal.now)
        policy = proposal.policy or policy_for(moving.run, proposal.force)
        self.facts.about(moving, proposal.now)
        decision = decide(Transition(moving.run, before, proposed), policy, self.facts)
        moving.touched = True
        if decision.state is None:
            moving.refusal = refusal_text(decision, proposed, self.now)
            outcome = Outcome(decision.verdict, before, False, decision.trail)
        else:
            outcome = Outcome(decision.verdict, self._enter(moving, decision, proposal), True, decision.trail)
        if proposed.id is not None:
            self._answers[proposed.id] = (moving.run.id, outcome)
        return outcome

    def _enter(self, moving: MovingRun, decision: Decision, proposal: Proposal) -> State:
        before, decided = moving.state, decision.state
        assert decided is not None
        accepted = isinstance(decision.verdict, Accept)
        data, shown = taken_apart(decided.data)
        # Every field by name: `replace`, which checks all fields, would slow batches down.
        state = State(
            id=(proposal.state.id if accepted else None) or uuid7(),
            type=decided.type,
            name=decided.name,
            message=decided.message,
            data=data,
            timestamp=_next_timestamp(before, proposal.at or proposal.now),
            details=_with_own_ids(decided, moving),
        )
        moving.run = settle(decision.run, before, state)
        moving.state, moving.seq, moving.refusal = state, moving.seq + 1, None
        epoch_before = moving.epoch
        if proposal.new_attempt:
            moving.epoch += 1
        self._entered.append((moving, before, state, self._stored_apart(moving, before, decision, proposal)))
        if moving.tables is FLOW_RUNS:
            self.facts.entered(moving, before, state)
        if moving.stored.agent_id is not None and proposal.epoch is None:
            # The attempt itself did not propose this, so the agent that executes it does not know yet.
            self._agents.append(("agent", moving.stored.agent_id, state.type.value))
        if shown:
            self._effects.show(shown, moving.run)
        if state.type in BAD and moving.stored.flow_id is not None:
            self._effects.note_failure(moving.run, moving.stored.flow_id, state)
        for effect in decision.effects:
            match effect:
                case MirrorToParentTask():
                    self._mirror(effect.parent_task_run_id, moving.run.id, state, proposal)
                case CancelRuns():
                    self._cancel(effect, proposal.now)
                case _:
                    self._effects.add(effect, moving.run, state, epoch_before)
        return state

    def _stored_apart(
        self, moving: MovingRun, before: State | None, decision: Decision, proposal: Proposal
    ) -> Row | None:
        """Return the row for the state that the run has just entered, or None if it was folded into the run's row."""
        state, accepted = moving.state, isinstance(decision.verdict, Accept)
        assert state is not None
        if before is not None and before.is_terminal and not state.is_terminal:
            self._unfold(moving)
        if accepted and moving.folds(decision):
            moving.fold(decision.trail, sent=proposal.state.timestamp, author=proposal.author)
            return None
        return state_row(
            self._dialect,
            moving,
            state,
            decision,
            proposal_id=None if accepted else proposal.state.id,
            sent=proposal.state.timestamp,
            author=proposal.author,
        )

    def _unfold(self, moving: MovingRun) -> None:
        """Store the folded states of a run that starts again as rows: they are found by its times, which change now."""
        for seq, folded in enumerate(unfold(moving.folded), 1):
            self._unfolded.append(unfolded_row(self._dialect, moving, seq, folded))
        moving.folded = b""

    def _mirror(self, parent_id: UUID, child_id: UUID, state: State, proposal: Proposal) -> None:
        self.load(TASK_RUNS, [parent_id])
        parent = self.runs.get(parent_id)
        # The task run was deleted with the parent flow run; the child continues without it.
        if parent is None or (state.type is StateType.PENDING and _awaits(parent, child_id)):
            return
        copy = replace(state.with_details(child_flow_run_id=child_id, transition_id=None), id=None, timestamp=None)
        at = state.timestamp if proposal.at else None
        self.propose(parent, Proposal(copy, proposal.now, force=True, at=at))

    def _cancel(self, effect: CancelRuns, now: datetime) -> None:
        self.load(FLOW_RUNS, effect.flow_run_ids)
        for run_id in sorted(effect.flow_run_ids):
            if run_id in self.runs:
                self.propose(self.runs[run_id], Proposal(effect.proposed, now, author="overlap"))

    # --- writing -------------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Write each table once: new runs with their final columns, states, updated runs, and the effects."""
        touched = [moving for moving in self.runs.values() if moving.touched]
        if not touched:
            return
        is_watched = False
        for tables in (FLOW_RUNS, TASK_RUNS):
            own = [moving for moving in touched if moving.tables is tables]
            known = insert_runs(
                tables,
                [moving for moving in own if moving.new is not None],
                self.now,
                leave_out_known=self._known_are_left_out,
            )
            self._drop(known)
            rows = [row for moving, _, _, row in self._entered if moving.tables is tables and row is not None]
            if tables is TASK_RUNS:
                rows = [*self._unfolded, *rows]
            is_watched |= insert_states(tables, rows)
            update_runs(tables, [moving for moving in own if moving.new is None], self.now)
        holders = {run_id for run_id in self._effects.released if self.facts.may_hold_a_slot(run_id)}
        self._effects.write(self.facts.limit_ids(), holders, self.now)
        if is_watched:
            self._record_for_watchers()
        if current_act.get() is not None:
            self._note(touched)
        self._announce(touched)
        self._entered, self._unfolded, self._agents = [], [], []

    def _write_and_go_on(self) -> None:
        """Write pending changes in the middle of the work, for a fact that is counted in the database."""
        touched = [moving for moving in self.runs.values() if moving.touched]
        if touched:
            self.write()
            self.facts.forget()
        for moving in touched:
            moving.written()

    def _drop(self, run_ids: set[UUID]) -> None:
        for run_id in run_ids:
            del self.runs[run_id]
        if run_ids:
            self._entered = [entry for entry in self._entered if entry[0].run.id in self.runs]

    def _record_for_watchers(self) -> None:
        """Record, in this transaction, new states of flow runs for notification policies and automations."""
        from events.recording.outbox import flow_runs_changed  # most installations never need it

        changes = [(m.run.id, before, state) for m, before, state, _ in self._entered if m.tables is FLOW_RUNS]
        flow_runs_changed(changes, self.now)

    def _note(self, touched: Iterable[MovingRun]) -> None:
        """Note for the audit log which runs were moved or refused. Planned runs follow from a deployment."""
        for moving, before, state, _ in self._entered:
            if not (isinstance(moving.new, NewFlowRun) and moving.new.auto_scheduled):
                was = {"state": f"{before.type.value} {before.name}"} if before else None
                message = {"message": state.message} if state.message else {}
                now = {"state": f"{state.type.value} {state.name}", **message}
                name = moving.new.name if moving.new else ""
                note(moving.tables.kind, moving.run.id, name=name, before=was, after=now)
        for moving in touched:
            if moving.refusal is not None:
                note(moving.tables.kind, moving.run.id, refused=json.loads(moving.refusal).get("reason", ""))

    def _announce(self, touched: Iterable[MovingRun]) -> None:
        moved = ((m.tables.kind, m.run.id, m.state.type.value) for m in touched if m.has_moved and m.state)
        announce.runs_changed([*(change for change in moved if change[1] in self.runs), *self._agents])


def _with_own_ids(decided: State, moving: MovingRun) -> StateDetails:
    own = moving.own_details
    return own if decided.details is NO_DETAILS else with_own_ids(decided.details, own.flow_run_id, own.task_run_id)


def _next_timestamp(state: State | None, now: datetime) -> datetime:
    """Return `now`, or a moment after the current state: the states of one run are also ordered by time."""
    if state is None or state.timestamp is None or state.timestamp < now:
        return now
    return state.timestamp + _TICK


def _awaits(task_run: MovingRun, child_id: UUID) -> bool:
    """Whether the task run already says that this nested run is about to start."""
    state = task_run.state
    return state is not None and state.type is StateType.PENDING and state.details.child_flow_run_id == child_id


def _other_own_id(run: Run) -> UUID | None:
    """Return the second id in the details of a run's states: its flow run, or the task run of a nested run."""
    return run.flow_run_id if run.kind == "task-run" else run.parent_task_run_id


def _accepted(moving: MovingRun, folded: FoldedState) -> Outcome:
    state = State(
        id=folded.id, type=folded.type, timestamp=folded.timestamp, details=folded.details_of(moving.own_details)
    )
    return Outcome(ACCEPT, state, True, folded.trail)


def _repeated(known: StoredState) -> Outcome:
    return Outcome(known.verdict, known.state, True, known.trail)
