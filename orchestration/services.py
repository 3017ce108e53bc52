"""Services for single proposals: one proposal for one run is the smallest unit of work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import transaction

from orchestration.core.policies import Policy
from orchestration.core.states import State
from orchestration.errors import RunLost
from orchestration.proposals import Outcome, Proposal
from orchestration.tables import FLOW_RUNS, TASK_RUNS, Tables
from orchestration.transactions import repeated_on_conflict, write_transaction
from orchestration.unit import Unit


@repeated_on_conflict
def _propose_state(
    tables: Tables,
    *,
    run_id: UUID,
    proposed: State,
    now: datetime,
    epoch: int | None = None,
    force: bool = False,
    author: str | None = None,
    at: datetime | None = None,
) -> Outcome:
    with write_transaction():
        return propose(tables, run_id, Proposal(proposed, now, epoch, force, author, at=at))


# Propose a state for a run in a transaction of its own. Both raise RunLost for a writer of an earlier attempt, and
# FlowRunNotFound or TaskRunNotFound.
propose_flow_run_state = partial(_propose_state, FLOW_RUNS)
propose_task_run_state = partial(_propose_state, TASK_RUNS)


@repeated_on_conflict
def judge_flow_run_states(
    *, run_ids: Sequence[UUID], proposed: State, now: datetime, policy: Policy | None = None
) -> dict[UUID, Outcome]:
    """Return the outcome that the proposal would have for each of the runs that exist, and change nothing."""
    with write_transaction():
        unit = Unit(now)
        unit.load(FLOW_RUNS, run_ids)
        known = [run_id for run_id in run_ids if run_id in unit.runs]
        outcomes = {run_id: unit.propose(unit.runs[run_id], Proposal(proposed, now, policy=policy)) for run_id in known}
        # Roll back, because a fact that is counted in the database may have written changes.
        transaction.set_rollback(True)
    return outcomes


def propose(tables: Tables, run_id: UUID, proposal: Proposal) -> Outcome:
    """Make the proposal in a transaction that the caller opened. Everything is written when this returns."""
    unit = Unit(proposal.now)
    moving = unit.run(tables, run_id)
    if proposal.state.id is not None:
        unit.load_answers(tables, {proposal.state.id: run_id})
        if answer := unit.answer_given_before(moving, proposal.state.id):
            return answer
    if proposal.epoch is not None and proposal.epoch != moving.epoch:
        raise RunLost(id=moving.run.flow_run_id or run_id, epoch=proposal.epoch, current=moving.epoch)
    outcome = unit.propose(moving, proposal)
    unit.write()
    return outcome
