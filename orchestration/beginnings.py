"""The first state of a run that is about to be stored: decided before the row exists, so that it is written once.

A creation is half of what a client without batches sends; to insert a run and then move it costs twice as much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from orchestration import announce
from orchestration.columns import json_text, spelling, with_own_ids
from orchestration.core.bookkeeping import settle
from orchestration.core.decide import Decision, Transition, decide
from orchestration.core.runs import Run
from orchestration.core.states import State
from orchestration.facts import StoredFacts
from orchestration.record import insert_state, state_row, verdict_name
from orchestration.services import own_ids, perform_all, policy_for, tell_watchers, with_scheduled_time
from orchestration.stored import StoredRun, Tables
from orionflow.contract.ids import uuid7


@dataclass(frozen=True, slots=True)
class Beginning:
    """A new run's first state, and what it makes of the run's columns."""

    tables: Tables
    stored: StoredRun
    decision: Decision
    state: State
    columns: dict[str, Any]

    def store(self, now: datetime) -> None:
        """Write the state and do what follows from it, once the run's row is there; in the same transaction."""
        row = state_row(
            spelling(),
            self.stored.run.id,
            self.state,
            seq=1,
            trail=self.decision.trail,
            verdict=verdict_name(self.decision),
            proposal_id=None,
            client_timestamp=None,
            epoch=0,
            author=None,
        )
        if insert_state(self.tables, row):
            tell_watchers(self.stored, self.state, now)
        perform_all(self.decision.effects, self.stored, self.state, now)
        announce.runs_changed([(self.tables.kind, self.stored.run.id, self.state.type.value)])


def beginning(tables: Tables, run: Run, proposed: State, *, policy: dict[str, Any], now: datetime) -> Beginning:
    """What comes of `proposed` as the first state of `run`. Its maker says so: only the minimal rules are asked."""
    stored = StoredRun(run, None, 0, json_text(policy), False, 0)
    transition = Transition(run, None, with_scheduled_time(proposed, now))
    decision = decide(transition, policy_for(run, force=True), StoredFacts(stored, now))
    assert decision.state is not None
    details = with_own_ids(decision.state.details, *own_ids(run))
    state = replace(decision.state, id=uuid7(), timestamp=now, details=details)
    return Beginning(tables, stored, decision, state, _columns(settle(decision.run, None, state), state))


def _columns(run: Run, state: State) -> dict[str, Any]:
    return {
        "seq": 1,
        "state_id": state.id,
        "state_type": state.type.value,
        "state_name": state.name,
        "state_timestamp": state.timestamp,
        "run_count": run.run_count,
        "start_time": run.start_time,
        "end_time": run.end_time,
        "expected_start_time": run.expected_start_time,
        "next_scheduled_start_time": run.next_scheduled_start_time,
    }
