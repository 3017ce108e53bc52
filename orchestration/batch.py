"""Many transitions of task runs at once, as the SDK reports them. The hot path of Orion.

Everything that the items concern is read in a fixed number of queries. Then each item is judged in one unit of work,
on top of the changes of the items before it. Only the protocol is special here: creations that may be repeats, repeated
proposals, writers of earlier attempts, and the orders for flow runs in the reply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db import IntegrityError

from orchestration.clocks import clock_offset, corrected
from orchestration.core.states import State, StateType
from orchestration.core.verdicts import ACCEPT, Abort
from orchestration.errors import DomainError, FlowRunNotFound, RunLost, TaskRunNotFound
from orchestration.moving import MovingRun
from orchestration.new_runs import NewTaskRun
from orchestration.proposals import Outcome, Proposal
from orchestration.stored import hold_attempts, known_calls, read_parents, stopping_ancestors
from orchestration.tables import TASK_RUNS
from orchestration.transactions import repeated_on_conflict, write_transaction
from orchestration.unit import Unit
from orionflow.contract.kinds import RunCommand

_REFUSED_BEFORE = Abort("This was refused when it was first sent; what came after it is stored already.")
_ORDERS: Mapping[StateType, RunCommand] = {
    StateType.CANCELLING: "cancel",
    StateType.CANCELLED: "cancel",
    StateType.PAUSED: "pause",
}


@dataclass(frozen=True, slots=True)
class TaskRunTransition:
    """One item: a task run to create, a state to propose, or both. The state carries its client's id and time."""

    task_run_id: UUID
    create: NewTaskRun | None
    proposed: State | None
    force: bool = False


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """The outcome of one item. `task_run_id` is the stored run: another one if this call of the task was known."""

    task_run_id: UUID
    outcome: Outcome | None
    error: DomainError | None
    created: bool


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """The outcomes in the order of the items, and the orders for flow runs."""

    items: tuple[ItemOutcome, ...]
    orders: dict[UUID, RunCommand]


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
    """Apply the items in order, each by the same rules as if it came alone, in one transaction.

    An invalid item is answered with its error and changes nothing; the other items are applied. `writer` is the attempt
    that sends all items: of their flow run, or of one in which that is nested.
    """
    claimed = {**(epochs or {}), **dict([writer] if writer else ())}
    try:
        with write_transaction():
            return _Batch(items, now, sent_at, claimed, author, writer, every_state=False).apply()
    except IntegrityError:
        # A state id belongs to another run, or another process created a run meanwhile: try again, and look up all ids.
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
        self._claimed = epochs
        self._author = author
        self._writer = writer
        self._unit = Unit(now)
        # By the id that items use, the id of the stored run if it is another one.
        self._aliases: dict[UUID, UUID] = {}
        self._flow_runs: set[UUID] = set()
        self._position = 0
        self._load(every_state)

    def _load(self, every_state: bool) -> None:
        """Lock and read everything that the items concern: flow runs first, then task runs.

        `every_state` also looks up state ids of runs that are new: only a client with a bug could have used those
        before.
        """
        items, unit = self._items, self._unit
        hold_attempts(self._claimed)
        unit.load(TASK_RUNS, {item.task_run_id for item in items})
        self._calls = known_calls([item.create for item in items if item.create and item.task_run_id not in unit.runs])
        unit.load(TASK_RUNS, self._calls.values())
        named = {moving.run.flow_run_id for moving in unit.runs.values()}
        named |= {item.create.flow_run_id for item in items if item.create} | self._claimed.keys()
        self._parents, self._epochs, nested = read_parents({one for one in named if one is not None})
        self._held_ancestors = stopping_ancestors(nested)
        for moving in unit.runs.values():
            moving.stored.parent = self._parents.get(moving.run.flow_run_id) if moving.run.flow_run_id else None
        self._expect_questions()
        self._stored_up_to = self._load_answers(every_state)

    def _expect_questions(self) -> None:
        """Announce what later items will ask for, so that the facts read it together with the first question."""
        for item in self._items:
            if item.create:
                self._unit.facts.expected_tags.update(item.create.tags)
            state = item.proposed
            if state and state.type is StateType.RUNNING and state.details.cache_key:
                self._unit.facts.expected_keys.add(state.details.cache_key)

    def _load_answers(self, every_state: bool) -> int:
        """Look up earlier answers. A run that does not exist yet has none.

        Return the position of the last known item. Clients repeat in order, so all items before it were judged, too.
        """
        items = self._items
        asked = {
            item.proposed.id: position
            for position, item in enumerate(items)
            if item.proposed and item.proposed.id and (every_state or self._is_known(item))
        }
        known = self._unit.load_answers(TASK_RUNS, {id: self._stored_id(items[at]) for id, at in asked.items()})
        return max((asked[one] for one in known), default=-1)

    def _is_known(self, item: TaskRunTransition) -> bool:
        return item.task_run_id in self._unit.runs or (item.create is not None and item.create.call in self._calls)

    def _stored_id(self, item: TaskRunTransition) -> UUID:
        known = self._calls.get(item.create.call) if item.create is not None else None
        return item.task_run_id if known is None or item.task_run_id in self._unit.runs else known

    # --- the items, one by one -----------------------------------------------------------------------------------

    def apply(self) -> BatchOutcome:
        outcomes = []
        for item in self._items:
            try:
                outcomes.append(self._apply(item))
            except DomainError as error:
                outcomes.append(ItemOutcome(item.task_run_id, None, error, False))
            self._position += 1
        self._unit.write()
        return BatchOutcome(tuple(outcomes), self._orders())

    def _apply(self, item: TaskRunTransition) -> ItemOutcome:
        moving = self._find(item)
        created = moving is None
        if moving is None:
            moving = self._create(item)
        else:
            self._check_fence(moving.run.flow_run_id)
        proposed = item.proposed
        if proposed is None:
            return ItemOutcome(moving.run.id, None, None, created)
        outcome = self._answer_given_before(moving, proposed.id)
        if outcome is None and item.create is not None and not created:
            # The call was made before: return its run as it is, without setting its first state again.
            outcome = Outcome(ACCEPT, moving.state, False, ())
        if outcome is None:
            # The rules judge the moment of the transition, not of its report: the delay of a retry begins with the
            # failure.
            at = self._moment(proposed.timestamp, moving.state)
            proposal = Proposal(proposed, at, force=item.force or created, author=self._author)
            outcome = self._unit.propose(moving, proposal)
        return ItemOutcome(moving.run.id, outcome, None, created)

    def _find(self, item: TaskRunTransition) -> MovingRun | None:
        runs = self._unit.runs
        if moving := runs.get(item.task_run_id):
            return moving
        if alias := self._aliases.get(item.task_run_id):
            return runs[alias]
        if item.create is None:
            raise TaskRunNotFound(id=item.task_run_id)
        known = self._calls.get(item.create.call) if item.create.flow_run_id else None
        if known is None:
            return None
        self._aliases[item.task_run_id] = known
        return runs[known]

    def _create(self, item: TaskRunTransition) -> MovingRun:
        new = item.create
        assert new is not None
        flow_run_id = new.flow_run_id
        if flow_run_id is not None and flow_run_id not in self._parents:
            raise FlowRunNotFound(id=flow_run_id)
        self._check_fence(flow_run_id)
        if flow_run_id is None:
            return self._unit.create(new, item.task_run_id)
        self._calls[new.call] = item.task_run_id
        epoch, parent = self._epochs[flow_run_id], self._parents[flow_run_id]
        return self._unit.create(new, item.task_run_id, epoch=epoch, parent=parent)

    def _check_fence(self, flow_run_id: UUID | None) -> None:
        """Raise RunLost if the sender is an attempt that another one has replaced."""
        for run_id in (self._writer[0] if self._writer else None, flow_run_id):
            if run_id is None:
                continue
            self._flow_runs.add(run_id)
            claimed = self._claimed.get(run_id)
            if claimed is not None and claimed != (current := self._epochs.get(run_id)):
                raise RunLost(id=run_id, epoch=claimed, current=current)

    def _answer_given_before(self, moving: MovingRun, proposal_id: UUID | None) -> Outcome | None:
        answer = self._unit.answer_given_before(moving, proposal_id)
        if answer is None and proposal_id is not None and self._position < self._stored_up_to:
            # It wrote nothing then, and must not now, because later items have been stored since.
            return Outcome(_REFUSED_BEFORE, moving.state, False, ())
        return answer

    def _moment(self, reported: datetime | None, current: State | None) -> datetime:
        """Return the client's time by our clock: not in the future, and not before the state that the run leaves."""
        if reported is None:
            return self._now
        at = min(corrected(reported.astimezone(UTC), self._offset, self._now), self._now)
        return max(at, current.timestamp) if current is not None and current.timestamp is not None else at

    def _orders(self) -> dict[UUID, RunCommand]:
        orders = {run_id: _ORDERS[held] for run_id, held in self._held_ancestors.items()}
        for flow_run_id in self._flow_runs:
            parent = self._parents.get(flow_run_id)
            claimed = self._claimed.get(flow_run_id)
            if claimed is not None and claimed != self._epochs.get(flow_run_id):
                orders[flow_run_id] = "lost"
            elif parent and parent.state and parent.state.type in _ORDERS:
                orders[flow_run_id] = _ORDERS[parent.state.type]
        return orders
