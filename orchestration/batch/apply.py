"""The loop over the items of a batch: each is judged by the rules on top of what the items before it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError

from orchestration import announce
from orchestration.batch.facts import BatchFacts
from orchestration.batch.items import BatchOutcome, ItemOutcome, TaskRunTransition
from orchestration.batch.loading import Loaded, MovingRun, key_of, load
from orchestration.batch.writing import write
from orchestration.clocks import clock_offset
from orchestration.columns import json_text, policy_from, spelling, with_own_ids
from orchestration.core.bookkeeping import settle
from orchestration.core.decide import Decision, Policy, Transition, decide
from orchestration.core.policies import MINIMAL_TASK, usual_policy
from orchestration.core.runs import Run
from orchestration.core.states import NO_DETAILS, State, StateType
from orchestration.core.verdicts import ACCEPT, Abort, Accept
from orchestration.errors import DomainError, FlowRunNotFound, RunLost, StateIdTaken, TaskRunNotFound
from orchestration.record import next_timestamp, refusal_text, state_row, verdict_name
from orchestration.services import Outcome, with_scheduled_time
from orchestration.stored import StoredRun
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.ids import uuid7

_REFUSED_BEFORE = Abort("This was refused when it was first sent; what came after it is stored already.")
_ORDERS = {StateType.CANCELLING: "cancel", StateType.CANCELLED: "cancel", StateType.PAUSED: "pause"}


@repeated_on_conflict
def apply_task_run_transitions(
    *,
    items: Sequence[TaskRunTransition],
    now: datetime,
    sent_at: datetime | None,
    epochs: Mapping[UUID, int] | None = None,
    author: str | None = None,
    writer: tuple[UUID, int] | None = None,
) -> BatchOutcome:
    """Apply the items in their order, each by the same rules as if it came alone, in one transaction.

    A bad item is answered with its error and changes nothing; the others go on. `writer` is the attempt that sends
    them all, of the items' flow run or of one that it is nested in.
    """
    claimed = {**(epochs or {}), **dict([writer] if writer else ())}
    try:
        with write_transaction():
            return _Batch(items, now, sent_at, claimed, author, writer, every_state=False).apply()
    except IntegrityError:
        # A state id that belongs to another run, or a run that somebody else made just now: look closer, once.
        with write_transaction():
            return _Batch(items, now, sent_at, claimed, author, writer, every_state=True).apply()


class _Batch:
    def __init__(
        self,
        items: Sequence[TaskRunTransition],
        now: datetime,
        sent_at: datetime | None,
        epochs: Mapping[UUID, int],
        author: str | None,
        writer: tuple[UUID, int] | None,
        *,
        every_state: bool,
    ) -> None:
        self._items = items
        self._now = now
        self._offset = clock_offset(now, sent_at)
        self._epochs = epochs
        self._author = author
        self._writer = writer
        self._loaded: Loaded = load(items, epochs, every_state=every_state)
        self._facts = BatchFacts(items, self._loaded, now)
        self._spell = spelling()
        self._state_rows: list[tuple[Any, ...]] = []
        self._answers: dict[UUID, tuple[UUID, Outcome]] = {}
        self._flow_runs: set[UUID] = set()
        self._stored_up_to = _last_stored(items, self._loaded)
        self._position = 0

    def apply(self) -> BatchOutcome:
        outcomes = []
        for item in self._items:
            outcomes.append(self._item(item))
            self._position += 1
        write(self._loaded.runs, self._state_rows, self._facts, self._now)
        moved = [m for m in self._loaded.runs.values() if m.touched and m.state is not None]
        announce.runs_changed(("task-run", m.run.id, m.state.type.value) for m in moved if m.state)
        return BatchOutcome(tuple(outcomes), self._orders())

    def _item(self, item: TaskRunTransition) -> ItemOutcome:
        try:
            return self._applied(item)
        except DomainError as error:
            return ItemOutcome(item.task_run_id, None, error, False)

    def _applied(self, item: TaskRunTransition) -> ItemOutcome:
        moving = self._find(item)
        created = moving is None
        if moving is None:
            moving = self._make(item)
        else:
            self._let_in(moving.run)
        proposed = item.proposed
        if proposed is None:
            return ItemOutcome(moving.run.id, None, None, created)
        outcome = self._answer_given_before(moving, proposed.id)
        if outcome is None and item.create is not None and not created:
            # The call was made before: its run is given as it is, and its first state is not set again.
            outcome = Outcome(ACCEPT, moving.state, False, ())
        if outcome is None:
            outcome = self._propose(
                moving, proposed, MINIMAL_TASK if item.force or created else usual_policy(moving.run)
            )
            if proposed.id:
                self._answers[proposed.id] = (moving.run.id, outcome)
        return ItemOutcome(moving.run.id, outcome, None, created)

    def _find(self, item: TaskRunTransition) -> MovingRun | None:
        loaded = self._loaded
        if moving := loaded.runs.get(item.task_run_id):
            return moving
        if alias := loaded.aliases.get(item.task_run_id):
            return loaded.runs[alias]
        if item.create is None:
            raise TaskRunNotFound(id=item.task_run_id)
        known = loaded.by_key.get(key_of(item.create)) if item.create.flow_run_id else None
        if known is None:
            return None
        loaded.aliases[item.task_run_id] = known
        return loaded.runs[known]

    def _make(self, item: TaskRunTransition) -> MovingRun:
        new = item.create
        assert new is not None
        flow_run_id = new.flow_run_id
        if flow_run_id is not None and flow_run_id not in self._loaded.parents:
            raise FlowRunNotFound(id=flow_run_id)
        policy = json_text(new.empirical_policy) if new.empirical_policy else "{}"
        run = Run(
            id=item.task_run_id,
            kind="task-run",
            policy=policy_from(policy),
            tags=tuple(new.tags),
            flow_run_id=flow_run_id,
        )
        epoch = self._loaded.epochs.get(flow_run_id, 0) if flow_run_id else 0
        moving = MovingRun.of(StoredRun(run, None, 0, policy, False, epoch), new)
        self._let_in(run)
        moving.touched = True
        self._loaded.runs[run.id] = moving
        if flow_run_id:
            self._loaded.by_key[key_of(new)] = run.id
        return moving

    def _let_in(self, run: Run) -> None:
        """Raise RunLost for what an attempt sends whose flow run was given to another one."""
        if self._writer is not None:
            self._refuse_replaced(self._writer[0])
        flow_run_id = run.flow_run_id
        if flow_run_id is None:
            return
        self._refuse_replaced(flow_run_id)

    def _refuse_replaced(self, flow_run_id: UUID) -> None:
        self._flow_runs.add(flow_run_id)
        claimed = self._epochs.get(flow_run_id)
        if claimed is not None and claimed != (current := self._loaded.epochs.get(flow_run_id)):
            raise RunLost(id=flow_run_id, epoch=claimed, current=current)

    def _answer_given_before(self, moving: MovingRun, proposal_id: UUID | None) -> Outcome | None:
        if proposal_id is None:
            return None
        if answered := self._answers.get(proposal_id):
            run_id, outcome = answered
        elif given := self._loaded.states.get(proposal_id):
            run_id, outcome = given.run_id, Outcome(given.verdict, given.state, True, given.trail)
        elif self._position < self._stored_up_to:
            # It wrote nothing then, and must not now: what came after it has been stored since.
            return Outcome(_REFUSED_BEFORE, moving.state, False, ())
        else:
            return None
        if run_id != moving.run.id:
            raise StateIdTaken(id=proposal_id)
        return outcome

    def _propose(self, moving: MovingRun, proposed: State, policy: Policy) -> Outcome:
        # The rules judge the moment of the transition, not of its report: a retry is due its delay after the failure.
        at = self._moment(proposed.timestamp, moving.state)
        if proposed.type is StateType.SCHEDULED:
            proposed = with_scheduled_time(proposed, at)
        self._facts.about(moving, at)
        decision = decide(Transition(moving.run, moving.state, proposed), policy, self._facts)
        moving.touched = True
        if decision.state is None:
            moving.refusal = refusal_text(decision, proposed, self._now)
            return Outcome(decision.verdict, moving.state, False, decision.trail)
        state = self._write(moving, decision, proposed, next_timestamp(moving.state, at))
        if decision.effects:
            self._facts.perform(decision.effects, moving, state)
        return Outcome(decision.verdict, state, True, decision.trail)

    def _write(self, moving: MovingRun, decision: Decision, proposed: State, at: datetime) -> State:
        decided = decision.state
        assert decided is not None
        accepted = isinstance(decision.verdict, Accept)
        details = decided.details
        state = State(
            id=(proposed.id if accepted else None) or uuid7(),
            type=decided.type,
            name=decided.name,
            message=decided.message,
            data=decided.data,
            timestamp=at,
            details=moving.own_details
            if details is NO_DETAILS
            else with_own_ids(details, moving.run.flow_run_id, moving.run.id),
        )
        moving.run = settle(decision.run, moving.state, state)
        moving.state, moving.seq, moving.refusal = state, moving.seq + 1, None
        row = state_row(
            self._spell,
            moving.run.id,
            state,
            seq=moving.seq,
            trail=decision.trail,
            verdict=verdict_name(decision),
            proposal_id=None if accepted else proposed.id,
            client_timestamp=proposed.timestamp if proposed.timestamp != at else None,
            epoch=moving.stored.epoch,
            author=self._author,
            # Most states say nothing beyond whose they are.
            details="{}" if state.details is moving.own_details else None,
        )
        self._state_rows.append(row)
        return state

    def _moment(self, said: datetime | None, current: State | None) -> datetime:
        """The client's time by our clock: not in the future, and not before the state that it leaves."""
        if said is None:
            return self._now
        at = min(said.astimezone(UTC) + self._offset, self._now)
        return max(at, current.timestamp) if current is not None and current.timestamp is not None else at

    def _orders(self) -> dict[UUID, str]:
        orders = {run_id: _ORDERS[held] for run_id, held in self._loaded.held_ancestors.items()}
        for flow_run_id in self._flow_runs:
            parent = self._loaded.parents.get(flow_run_id)
            claimed = self._epochs.get(flow_run_id)
            if claimed is not None and claimed != self._loaded.epochs.get(flow_run_id):
                orders[flow_run_id] = "lost"
            elif parent and parent.state and parent.state.type in _ORDERS:
                orders[flow_run_id] = _ORDERS[parent.state.type]
        return orders


def _last_stored(items: Sequence[TaskRunTransition], loaded: Loaded) -> int:
    """The position of the last item that is known. Clients repeat in order: all items before it were judged, too."""
    known = loaded.states
    positions = (n for n, item in enumerate(items) if item.proposed and item.proposed.id in known)
    return max(positions, default=-1) if known else -1
