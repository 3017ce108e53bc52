"""Runs of programs that nobody supervises: when such a process is killed, only its machine can tell.

A program says which process executes its run; a ticker on the same machine looks whether it is still there. Runs of
agents are not looked at: their leases tell.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from deployments.dispatch.services.remains import Remains
from orchestration.core.bookkeeping import is_out_of_process
from orchestration.core.states import StateType, cancelled, crashed
from orchestration.errors import FlowRunNotFound
from orchestration.services import Proposal, propose
from orchestration.stored import FLOW_RUNS, locked_run
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.models import FlowRun, FlowRunState

AUTHOR = "crash detection"
BATCH = 200
_IN_PROCESS = Q(state_type__in=["PENDING", "RUNNING", "PAUSED", "CANCELLING"]) | Q(
    state_type="SCHEDULED", empirical_policy__retry_type="in_process"
)


def crash_vanished_processes(
    now: datetime, *, is_gone: Callable[[str], bool], made_after: datetime | None = None
) -> int:
    """Crash the open runs whose process is gone, with what was nested in them; how many these are.

    With `made_after` older runs are let be: no server was there to be told how they ended, and it may be told yet.
    """
    suspects = _executed_by_programs(made_after)
    gone = {process for process in set(suspects.values()) if is_gone(process)}
    vanished = [run_id for run_id, process in suspects.items() if process in gone]
    vanished = _without_suspended(vanished)
    return sum(_crash(run_id, suspects[run_id], now) for run_id in vanished[:BATCH])


def _executed_by_programs(made_after: datetime | None) -> dict[UUID, str]:
    """Open runs and their processes; nested ones after those that they are nested in."""
    open_runs = FlowRun.objects.open().filter(_IN_PROCESS, process__isnull=False, lease__isnull=True)
    if made_after is not None:
        open_runs = open_runs.filter(created__gt=made_after)
    # Put in order here: asked for it, SQLite walks through the ids of all runs that there ever were.
    return dict(sorted(open_runs.order_by().values_list("pk", "process")))


def _without_suspended(run_ids: list[UUID]) -> list[UUID]:
    """A suspended run has left its process on purpose."""
    if not run_ids:
        return []
    states = FlowRun.objects.filter(pk__in=run_ids[:BATCH], state_type="PAUSED").values("state_id")
    suspended = FlowRunState.objects.filter(pk__in=states, details__pause_reschedule=True)
    left_out = set(suspended.values_list("flow_run_id", flat=True))
    return [run_id for run_id in run_ids if run_id not in left_out]


@repeated_on_conflict
def _crash(run_id: UUID, process: str, now: datetime) -> bool:
    with write_transaction():
        try:
            stored = locked_run(FLOW_RUNS, run_id)
        except FlowRunNotFound:
            return False
        # Looked at again under its lock: the run may have ended, or crashed with the one that it was nested in.
        executed = FlowRun.objects.filter(_IN_PROCESS, pk=run_id, process=process, lease__isnull=True)
        if stored.state is None or not executed.exists() or is_out_of_process(stored.run, stored.state):
            return False
        message = _told(process)
        ended = cancelled if stored.state.type is StateType.CANCELLING else crashed
        # By force: no agent could take up what a crash retry would leave waiting.
        outcome = propose(FLOW_RUNS, run_id, Proposal(ended(message), now, force=True, author=AUTHOR, new_attempt=True))
        Remains(ended, message, AUTHOR, now).close(run_id)
        return outcome.written


def _told(process: str) -> str:
    host, pid, *_ = process.split("|")
    return (
        f"The process of the run (pid {pid} on {host}) is gone, and reported no end: it was killed, or lost its power."
    )
