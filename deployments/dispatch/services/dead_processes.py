"""Close runs without a lease whose process, or whose worker, no longer exists.

A program records the process that executes its run. If that process is killed, only its own machine can find out, so a
ticker there checks for it. Workers of other clients execute runs without a lease; if their queue is no longer served,
no worker carries out a cancellation. Runs of Orion's own agents are left to the reconciler, as their leases expire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from uuid import UUID

from django.db.models import Exists, Max, OuterRef, Q

from deployments.dispatch.selectors.liveness import served_queues
from deployments.dispatch.services.attempt_exit import CRASH_DETECTION, Cause, close_orphans
from deployments.models import WorkQueue
from orchestration.core.bookkeeping import is_out_of_process
from orchestration.core.states import StateType, cancelled, crashed
from orchestration.errors import FlowRunNotFound
from orchestration.one_by_one import FirstError, Turns, work_on_each
from orchestration.proposals import Proposal
from orchestration.services import propose
from orchestration.stored import locked_run
from orchestration.tables import FLOW_RUNS
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.states import TERMINAL, UNFINISHED, in_order
from runs.models import FlowRun, FlowRunState, TaskRun

BATCH = 200
# A worker looks for cancelled runs every few seconds, and gives their processes 30 seconds to end.
CANCELLATION_PATIENCE = timedelta(seconds=90)
_open_turns, _ended_turns, _unserved_turns = Turns[UUID](), Turns[UUID](), Turns[UUID]()
_IN_PROCESS = Q(state_type__in=in_order(UNFINISHED - {StateType.SCHEDULED})) | Q(
    state_type="SCHEDULED", empirical_policy__retry_type="in_process"
)


IsGone = Callable[[str, datetime], bool]


@dataclass(frozen=True, slots=True)
class Executed:
    """A flow run, the process that executes it, and the time of the process's last sign of life."""

    run_id: UUID
    process: str
    seen_at: datetime
    # Its process ended intentionally.
    is_suspended: bool = False


def crash_runs_of_dead_processes(now: datetime, *, is_gone: IsGone, made_after: datetime | None = None) -> int:
    """Crash the open runs whose process no longer exists, with the runs nested in them, and return their number.

    `is_gone` gets a process and the time of its last sign of life. `made_after` excludes older runs: they may have
    ended while no server was running, and still report it.
    """
    first = FirstError()
    with first.of_one("Task runs of processes that no longer exist"):
        crash_task_runs_of_dead_processes(now, is_gone=is_gone, made_after=made_after)
    number = crash_open_runs_of_dead_processes(now, is_gone=is_gone, made_after=made_after)
    first.raise_any()
    return number


def crash_open_runs_of_dead_processes(now: datetime, *, is_gone: IsGone, made_after: datetime | None = None) -> int:
    """Crash open flow runs and the runs nested in them. They are a small part of all runs, and found quickly."""
    suspects = _executed_by_programs(made_after)
    gone = _gone(suspects, is_gone)
    process_of = {one.run_id: one.process for one in suspects if one.process in gone and not one.is_suspended}
    run_ids = _open_turns.next_of(list(process_of), BATCH)
    return work_on_each(run_ids, lambda run_id: _crash(run_id, process_of[run_id], now), "Flow run")


def crash_task_runs_of_dead_processes(now: datetime, *, is_gone: IsGone, made_after: datetime | None = None) -> None:
    """Crash the open task runs of ended flow runs. Reads all open task runs.

    A process that is killed while it ends may have reported the end of a run, but not of its task runs.
    """
    ended = _ended_before_their_task_runs(made_after)
    gone = _gone(ended, is_gone)
    process_of = {one.run_id: one.process for one in ended if one.process in gone}
    first = FirstError()
    for run_id in _ended_turns.next_of(sorted(process_of), BATCH):
        with first.of_one(f"Task runs of flow run {run_id}"):
            _crash_task_runs(run_id, process_of[run_id], now)
    first.raise_any()


def _gone(suspects: Iterable[Executed], is_gone: IsGone) -> set[str]:
    seen: dict[str, datetime] = {}
    for one in suspects:
        seen[one.process] = max(one.seen_at, seen.get(one.process, one.seen_at))
    return {process for process, seen_at in seen.items() if is_gone(process, seen_at)}


def _executed_by_programs(made_after: datetime | None) -> list[Executed]:
    """Return open runs with their processes. A nested run comes after its parent, because ids ascend."""
    open_runs = FlowRun.objects.open().filter(_IN_PROCESS, process__isnull=False, lease__isnull=True)
    if made_after is not None:
        open_runs = open_runs.filter(created__gt=made_after)
    suspended = FlowRunState.objects.filter(pk=OuterRef("state_id"), type="PAUSED", details__pause_reschedule=True)
    rows = open_runs.order_by().values_list("pk", "process", "state_type", "state_timestamp", "created", "start_time")
    return [
        # For CANCELLING use the start time: another party set that state, so it is no sign of life.
        Executed(run_id, process, (start if state_type == StateType.CANCELLING else timestamp) or created, is_suspended)
        # Sort here: for ORDER BY, SQLite would scan all runs in the order of the primary key.
        for run_id, process, state_type, timestamp, created, start, is_suspended in sorted(
            rows.annotate(is_suspended=Exists(suspended)), key=itemgetter(0)
        )
    ]


def _ended_before_their_task_runs(made_after: datetime | None) -> list[Executed]:
    """Return ended flow runs that have open task runs, with their processes."""
    left_open = TaskRun.objects.open().filter(
        flow_run__state_type__in=in_order(TERMINAL), flow_run__process__isnull=False, flow_run__lease__isnull=True
    )
    if made_after is not None:
        left_open = left_open.filter(flow_run__created__gt=made_after)
    rows = left_open.order_by().values_list("flow_run_id", "flow_run__process")
    return [Executed(*row) for row in rows.annotate(Max("state_timestamp"))]


@repeated_on_conflict
def _crash_task_runs(run_id: UUID, process: str, now: datetime) -> None:
    with write_transaction():
        # Lock the run: a new attempt may have started meanwhile, and continues with the task runs.
        if not FlowRun.objects.select_for_update().filter(pk=run_id, state_type__in=in_order(TERMINAL)).exists():
            return
        errors = close_orphans(run_id, end=crashed, cause=Cause(_describe(process), CRASH_DETECTION), now=now)
    # After the commit, which closes all others.
    errors.raise_any()


@repeated_on_conflict
def _crash(run_id: UUID, process: str, now: datetime) -> bool:
    with write_transaction():
        try:
            stored = locked_run(FLOW_RUNS, run_id)
        except FlowRunNotFound:
            return False
        # Check again under the lock: the run may have ended meanwhile, or crashed with its parent.
        executed = FlowRun.objects.filter(_IN_PROCESS, pk=run_id, process=process, lease__isnull=True)
        if stored.state is None or not executed.exists() or is_out_of_process(stored.run, stored.state):
            return False
        cause = Cause(_describe(process), CRASH_DETECTION)
        end = cancelled if stored.state.type is StateType.CANCELLING else crashed
        # By force, because no agent could execute a run that a crash retry would leave waiting.
        proposal = Proposal(end(cause.message), now, force=True, author=cause.author, new_attempt=True)
        outcome = propose(FLOW_RUNS, run_id, proposal)
        errors = close_orphans(run_id, end=end, cause=cause, now=now)
    # After the commit, which closes all others.
    errors.raise_any()
    return outcome.written


def _describe(process: str) -> str:
    host, pid, *_ = process.split("|")
    return f"The process of the run (pid {pid} on {host}) no longer exists: it was killed, or the machine lost power."


def cancel_unserved_runs(now: datetime) -> int:
    """Cancel deployed runs that have long been CANCELLING and whose queue is not served. Return their number."""
    cancelling = FlowRun.objects.in_state(StateType.CANCELLING).filter(
        lease__isnull=True,
        process__isnull=True,
        deployment_id__isnull=False,
        state_timestamp__lt=now - CANCELLATION_PATIENCE,
    )
    queue_of = dict(cancelling.order_by().values_list("pk", "work_queue_id"))
    queues = list(WorkQueue.objects.filter(pk__in={one for one in queue_of.values() if one}))
    served = served_queues(queues, now)
    # Sort here: for ORDER BY, SQLite might scan the ids of all runs.
    unserved = sorted(run_id for run_id, queue_id in queue_of.items() if queue_id not in served)
    run_ids = _unserved_turns.next_of(unserved, BATCH)
    return work_on_each(run_ids, lambda run_id: _cancel_unserved(run_id, now), "Flow run")


@repeated_on_conflict
def _cancel_unserved(run_id: UUID, now: datetime) -> bool:
    with write_transaction():
        try:
            stored = locked_run(FLOW_RUNS, run_id)
        except FlowRunNotFound:
            return False
        # Check again under the lock: its worker may have ended it meanwhile, and another attempt may have started.
        if stored.state is None or stored.state.type is not StateType.CANCELLING:
            return False
        ended = cancelled("No agent serves its work queue any more, so the server ended it.")
        return propose(FLOW_RUNS, run_id, Proposal(ended, now, author="cancellation clean-up")).written
