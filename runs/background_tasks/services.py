"""Offer calls of tasks outside of flows again when the process that took them does not start them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from orchestration.core.states import State, StateDetails, StateType
from orchestration.services import propose
from orchestration.tables import TASK_RUNS
from orchestration.transactions import repeated_on_conflict, write_transaction
from orchestration.unit import Proposal
from runs.background_tasks.selectors import abandoned_task_runs, parameters_of
from runs.models import TaskRun

AUTHOR = "task calls"


def offer_abandoned_calls(now: datetime, *, held: Collection[UUID] = ()) -> int:
    """Schedule abandoned calls again, except those `held` by a process that is still connected. Return the number."""
    return sum(_offer_again(run_id, now) for run_id in abandoned_task_runs(now) if run_id not in held)


@repeated_on_conflict
def _offer_again(run_id: UUID, now: datetime) -> bool:
    with write_transaction():
        # Check again under the lock, because the run may have started in between.
        if not TaskRun.objects.select_for_update().filter(pk=run_id, state_type="PENDING").exists():
            return False
        details = StateDetails(task_parameters_id=parameters_of(run_id))
        message = "The process that took the call did not begin it."
        again = State(type=StateType.SCHEDULED, message=message, details=details)
        return propose(TASK_RUNS, run_id, Proposal(again, now, author=AUTHOR)).written
