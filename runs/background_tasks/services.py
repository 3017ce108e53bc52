"""Offer calls of tasks outside of flows again when the process that took them is gone and has not started them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from orchestration.core.states import State, StateDetails, StateType
from orchestration.proposals import Proposal
from orchestration.services import propose
from orchestration.tables import TASK_RUNS, lock
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.background_tasks.selectors import abandoned_task_runs, is_abandoned, parameters_of
from runs.models import HeldCall, TaskRun

AUTHOR = "task calls"
# How long a call is left to its process after it was last seen connected; several times as long as between renewals.
HELD_FOR = timedelta(seconds=30)


@repeated_on_conflict
def reserve_call(run_id: UUID, server: UUID, now: datetime) -> bool:
    """Reserve a call for the process that this server offers it to. Return False if another server has offered it.

    If two processes took one call, nobody could say which of them claimed it, and thus whose connection holds it.
    """
    until = now + HELD_FOR
    with write_transaction():
        HeldCall.objects.bulk_create([HeldCall(pk=run_id, held_until=until, server=server)], ignore_conflicts=True)
        own = HeldCall.objects.filter(Q(server=server) | Q(held_until__lte=now), pk=run_id)
        return bool(own.update(held_until=until, server=server))


@repeated_on_conflict
def hold_calls(run_ids: Collection[UUID], server: UUID, now: datetime) -> set[UUID]:
    """Record that the process that took these calls is still connected. Return those that it has not started yet.

    A process may queue calls that it has claimed for as long as it likes, so their age alone says nothing. A call that
    another server has offered since was claimed by a process of that server.
    """
    elsewhere = HeldCall.objects.filter(task_run_id=OuterRef("pk")).exclude(server=server)
    rows = TaskRun.objects.filter(~Exists(elsewhere), pk__in=run_ids, state_type__in=("SCHEDULED", "PENDING"))
    waiting = dict(rows.order_by("pk").values_list("pk", "state_type"))
    # Only pending calls can be abandoned. Sorted: two servers that hold the same calls do not wait for each other.
    pending = [pk for pk, type in waiting.items() if type == "PENDING"]
    held = [HeldCall(pk=pk, held_until=now + HELD_FOR, server=server) for pk in pending]
    if held:
        with write_transaction():
            HeldCall.objects.bulk_create(
                held, update_conflicts=True, unique_fields=["task_run_id"], update_fields=["held_until"]
            )
    return set(waiting)


def offer_abandoned_calls(now: datetime) -> int:
    """Schedule calls again that no connected process holds, and return their number."""
    # Look first: on SQLite a transaction holds up every writer, and usually nothing is held.
    if (expired := HeldCall.objects.filter(held_until__lte=now)).exists():
        expired.delete()
    return sum(_offer_again(run_id, now) for run_id in abandoned_task_runs(now))


@repeated_on_conflict
def _offer_again(run_id: UUID, now: datetime) -> bool:
    with write_transaction():
        lock(TASK_RUNS, [run_id])
        # Check again under the lock, because the run may have started in between, or its process is back.
        if not is_abandoned(run_id, now):
            return False
        details = StateDetails(task_parameters_id=parameters_of(run_id))
        message = "The process that took the call did not begin it."
        again = State(type=StateType.SCHEDULED, message=message, details=details)
        return propose(TASK_RUNS, run_id, Proposal(again, now, author=AUTHOR)).written
