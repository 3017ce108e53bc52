"""A run on its way through a unit of work, and the columns that follow from the states that it enters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from orchestration.core.decide import Decision, Judgement
from orchestration.core.effects import RememberResult
from orchestration.core.folding import MOST_STATES, FoldedState, added, is_usual, number_of
from orchestration.core.runs import Run
from orchestration.core.states import State, StateDetails, StateType
from orchestration.json_columns import policy_text
from orchestration.new_runs import NewRun
from orchestration.stored import StoredRun
from orchestration.tables import TASK_RUNS, Kind, Tables

# The columns that bookkeeping may change, besides the copy of the current state.
_BOOKS = ("run_count", "start_time", "end_time", "expected_start_time", "next_scheduled_start_time", "total_run_time")
_BOOKS_OF: Mapping[Kind, tuple[str, ...]] = {"flow-run": _BOOKS, "task-run": (*_BOOKS, "flow_run_run_count")}
_read_books = {kind: attrgetter(*names) for kind, names in _BOOKS_OF.items()}
_OF_STATE = frozenset({"seq", "state_id", "state_type", "state_name", "state_timestamp"})


@dataclass(slots=True)
class MovingRun:
    """A run as it was read or is about to be created (`stored`), and as the proposals so far have left it."""

    tables: Tables
    stored: StoredRun
    # The values for a run that has no row yet.
    new: NewRun | None
    run: Run
    state: State | None
    seq: int
    epoch: int
    # The details of a state that contain only the ids of its run.
    own_details: StateDetails
    # The first states of a task run, as far as they have no rows of their own.
    folded: bytes = b""
    # The reason why the last proposal wrote nothing, as JSON.
    refusal: str | None = None
    touched: bool = False

    @classmethod
    def of(cls, tables: Tables, stored: StoredRun, new: NewRun | None = None) -> MovingRun:
        run = stored.run
        own = StateDetails(flow_run_id=run.id, task_run_id=run.parent_task_run_id)
        if run.kind == "task-run":
            own = StateDetails(flow_run_id=run.flow_run_id, task_run_id=run.id)
        return cls(
            tables,
            stored,
            new,
            run,
            stored.state,
            stored.seq,
            stored.epoch,
            own,
            stored.folded,
            touched=new is not None,
        )

    @property
    def is_folded(self) -> bool:
        """Whether none of its states has a row of its own, not even the current one."""
        return number_of(self.folded) == self.seq

    def folds(self, decision: Decision) -> bool:
        """Whether the state that it has just entered is stored like those before it: in the row of the run."""
        return (
            self.tables is TASK_RUNS
            and self.state is not None
            and number_of(self.folded) == self.seq - 1 < MOST_STATES
            and is_usual(self.run, self.state, decision.trail, self.own_details)
            # A result that other runs may reuse is found by the row of its state.
            and not any(isinstance(effect, RememberResult) for effect in decision.effects)
        )

    def fold(self, trail: tuple[Judgement, ...], *, sent: datetime | None, author: str | None) -> None:
        """Add the state that it has just entered to the folded states in the row of the run."""
        state = self.state
        assert state is not None
        assert state.id is not None
        assert state.timestamp is not None
        self.folded = added(
            self.folded,
            FoldedState(
                id=state.id,
                type=state.type,
                timestamp=state.timestamp,
                trail=trail,
                epoch=self.epoch,
                client_timestamp=None if sent == state.timestamp else sent,
                author=author,
                is_untrackable=state.details.untrackable_result,
            ),
        )

    @property
    def has_moved(self) -> bool:
        """Whether it entered a state that is not written yet."""
        return self.seq != self.stored.seq

    def columns(self, now: datetime) -> dict[str, Any]:
        """Return everything that follows from its states, by column."""
        state, kind = self.state, self.tables.kind
        columns = {
            "seq": self.seq,
            "state_id": state.id if state else None,
            "state_type": state.type.value if state else None,
            "state_name": state.name if state else None,
            "state_timestamp": state.timestamp if state else None,
            **dict(zip(_BOOKS_OF[kind], _read_books[kind](self.run), strict=True)),
            "empirical_policy": self._policy(),
            "refusal": self.refusal,
            "updated": now,
        }
        if self.tables is TASK_RUNS:
            columns["folded_states"] = self.folded or None
        else:
            columns |= {"epoch": self.epoch, "hinted_at": self._hinted_at()}
        return columns

    def row(self, now: datetime) -> dict[str, Any]:
        """Return all columns of a run that has no row yet."""
        assert self.new is not None
        return {"id": self.run.id, "created": now, **self.new.columns(), **self.columns(now)}

    def changes(self) -> set[str]:
        """Return the names of the columns that differ from the row."""
        stored, kind = self.stored, self.tables.kind
        changed = {"updated"}
        if self.refusal is not None or (stored.was_refused and self.has_moved):
            changed.add("refusal")
        if not self.has_moved:
            return changed
        changed |= _OF_STATE
        before, after = _read_books[kind](stored.run), _read_books[kind](self.run)
        if before != after:
            changed.update(name for name, old, new in zip(_BOOKS_OF[kind], before, after, strict=True) if old != new)
        if self.run.policy is not stored.run.policy and self.run.policy != stored.run.policy:
            changed.add("empirical_policy")
        if self.folded != stored.folded:
            changed.add("folded_states")
        if self.epoch != stored.epoch:
            changed.add("epoch")
        if self._hinted_at() != stored.hinted_at:
            changed.add("hinted_at")
        return changed

    def written(self) -> None:
        """Note that the row now contains all changes."""
        self.stored = replace(
            self.stored,
            run=self.run,
            state=self.state,
            seq=self.seq,
            policy=self._policy(),
            was_refused=self.refusal is not None or (self.stored.was_refused and not self.has_moved),
            epoch=self.epoch,
            hinted_at=self._hinted_at(),
            folded=self.folded,
        )
        self.new, self.refusal, self.touched = None, None, False

    def _hinted_at(self) -> datetime | None:
        # Agents do not know about a run that (again) waits for its start.
        waits = self.has_moved and self.state is not None and self.state.type is StateType.SCHEDULED
        return None if waits else self.stored.hinted_at

    def _policy(self) -> str:
        """Return the stored policy with the fields that the rules changed."""
        stored = self.stored
        if self.run.policy is stored.run.policy or self.run.policy == stored.run.policy:
            return stored.policy
        return policy_text(stored.policy, stored.run.policy, self.run.policy)
