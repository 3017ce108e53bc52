"""Settle attempts that did not report their own end: the process died, the agent stopped, or the attempt is revoked.

A run that was being cancelled becomes cancelled. One that never started returns to its queue (a few times). Any other
run crashes, or waits for its next crash retry. Its open task runs and nested flow runs are closed with it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db.models import F

from deployments.errors import RunOfAnother
from deployments.models import Deployment, Lease, Worker
from orchestration.batch import TaskRunTransition, apply_task_run_transitions
from orchestration.core.bookkeeping import is_out_of_process
from orchestration.core.policies import OUT_OF_TOUCH_FLOW, Policy
from orchestration.core.states import State, StateType, cancelled, crashed, scheduled
from orchestration.errors import FlowRunNotFound, RunLost
from orchestration.one_by_one import FirstError
from orchestration.proposals import Proposal
from orchestration.services import propose
from orchestration.stored import StoredRun, locked_run
from orchestration.tables import FLOW_RUNS
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.models import FlowRun, TaskRun

CRASH_DETECTION = "crash detection"
# The reasons that agents give for a process that they ended, or that ended together with them.
DRAINED = "drained"
OUT_OF_TOUCH = "out of touch"
LAUNCHER_DIED = "launcher died"
AGENT_FAILED = "agent failed"
# Task runs that are closed with one batch.
TASK_RUNS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an attempt is over, in the words of its final state, and the author of that state."""

    message: str
    author: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessExit:
    """How the process of an attempt ended, as its agent saw it. All fields empty: it existed, and has disappeared."""

    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    message: str | None = None


@repeated_on_conflict
def report_end(*, flow_run_id: UUID, epoch: int, process: ProcessExit, agent: Worker, now: datetime) -> State | None:
    """Settle an attempt whose process has ended, and return the state of the run.

    Raises FlowRunNotFound, RunLost if another attempt has replaced it, and RunOfAnother if the agent does not hold it.
    """
    with write_transaction():
        stored = locked_run(FLOW_RUNS, flow_run_id)
        # A late report of an attempt that was given up must not end the attempt after it.
        if stored.epoch != epoch:
            raise RunLost(id=flow_run_id, epoch=epoch, current=stored.epoch)
        _refuse_another(stored, agent)
        cause = Cause(describe_exit(process), f"agent {agent.name}"[:255])
        if _never_started(stored):
            return _settle_unstarted(stored, process, cause, now)
        policy = OUT_OF_TOUCH_FLOW if process.reason == OUT_OF_TOUCH else None
        return _settle(stored, cause, now, fences=False, policy=policy)


def _refuse_another(stored: StoredRun, agent: Worker) -> None:
    """Refuse the report of an agent that does not hold the run. Raises RunOfAnother.

    A run without a lease is accepted only if no process executes it.
    """
    if stored.run.leased:
        is_of_another = stored.agent_id != agent.pk
    else:
        is_of_another = stored.state is not None and not is_out_of_process(stored.run, stored.state)
    if is_of_another:
        raise RunOfAnother(name=agent.name, id=stored.run.id)


@repeated_on_conflict
def revoke(*, run_id: UUID, cause: Cause, now: datetime, but_from: UUID | None = None) -> State | None:
    """End the attempt that holds the run's lease, and return the state of the run.

    Later reports of the attempt are refused. A run without a lease is left alone, and so is one whose lease belongs to
    the incarnation `but_from`.
    """
    with write_transaction():
        stored = _locked(run_id)
        if stored is None:
            return None
        # After the run, as the reconciler locks them: in another order, each could wait for the other.
        lease = Lease.objects.select_for_update().filter(pk=run_id).first()
        if lease is None or (but_from is not None and lease.incarnation == but_from):
            return stored.state
        return revoke_locked(stored, cause, now)


@repeated_on_conflict
def release_by_force(*, run_id: UUID, cause: Cause, now: datetime) -> State | None:
    """End the current attempt, with or without a lease. Its slots are free when this returns."""
    with write_transaction():
        return _settle(locked_run(FLOW_RUNS, run_id), cause, now, fences=True)


def revoke_locked(stored: StoredRun, cause: Cause, now: datetime) -> State | None:
    """End the attempt of a run that the caller has locked, and whose agent has stopped."""
    if _never_started(stored):
        return _lose_start(stored, cause, now, fences=True)
    return _settle(stored, cause, now, fences=True)


def describe_exit(process: ProcessExit) -> str:
    """Describe in one sentence how the process ended."""
    number, reason = process.signal, f" ({process.reason})" if process.reason else ""
    if number == signal.SIGKILL and not process.reason:
        return "The process of the run was killed by SIGKILL; running out of memory is the usual reason."
    if process.message:
        return process.message
    if number is not None:
        return f"The process of the run was ended by {signal_name(number)}{reason}."
    if process.exit_code is not None:
        return f"The process of the run exited with code {process.exit_code}{reason}, and did not report an end."
    return f"The process of the run is gone{reason}."


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _locked(run_id: UUID) -> StoredRun | None:
    try:
        return locked_run(FLOW_RUNS, run_id)
    except FlowRunNotFound:
        return None


def _never_started(stored: StoredRun) -> bool:
    return stored.state is not None and stored.state.type is StateType.PENDING


def _settle_unstarted(stored: StoredRun, process: ProcessExit, cause: Cause, now: datetime) -> State | None:
    """Requeue the run, because nothing of the flow has run yet, unless its code or a request ended the process."""
    if process.reason in (DRAINED, OUT_OF_TOUCH):
        return _requeue(stored, cause, now, fences=False)
    # Not by the agent, so usually by the kernel for its memory, which others may have used up.
    killed = process.signal == signal.SIGKILL and process.reason is None
    if process.reason in (LAUNCHER_DIED, AGENT_FAILED) or (killed and not _crash_retries_are_known(stored)):
        return _lose_start(stored, cause, now, fences=False)
    return _settle(stored, cause, now, fences=False)


def _crash_retries_are_known(stored: StoredRun) -> bool:
    """Whether the server knows how often the run may crash. If only its code says so, that was not loaded yet."""
    if stored.run.policy.crash_retries or stored.run.deployment_id is None:
        return True
    return Deployment.objects.filter(pk=stored.run.deployment_id, crash_retries__isnull=False).exists()


def _lose_start(stored: StoredRun, cause: Cause, now: datetime, *, fences: bool) -> State | None:
    """Requeue the run a few times. After that, assume that it kills every process that takes it, and crash it."""
    lost = FlowRun.objects.filter(pk=stored.run.id, lost_starts__lt=settings.ORION_LOST_STARTS)
    if lost.update(lost_starts=F("lost_starts") + 1):
        return _requeue(stored, cause, now, fences=fences)
    message = (
        f"{cause.message} It was lost before it began {settings.ORION_LOST_STARTS + 1} times, so it is not tried again."
    )
    return _settle(stored, Cause(message, cause.author), now, fences=fences)


def _requeue(stored: StoredRun, cause: Cause, now: datetime, *, fences: bool) -> State | None:
    assert stored.state is not None
    due = stored.state.details.scheduled_time or now
    again = scheduled(due, message=f"{cause.message} It had not begun, so it waits for an agent again.")
    return propose(FLOW_RUNS, stored.run.id, Proposal(again, now, author=cause.author, new_attempt=fences)).state


def _settle(
    stored: StoredRun, cause: Cause, now: datetime, *, fences: bool, policy: Policy | None = None
) -> State | None:
    state = stored.state
    if state is None or is_out_of_process(stored.run, state):
        # The attempt is over already, so there is nothing left to settle but a lease.
        Lease.objects.filter(pk=stored.run.id).delete()
        return state
    end = cancelled if state.type is StateType.CANCELLING else crashed
    judged_by = None if state.type is StateType.CANCELLING else policy
    proposal = Proposal(end(cause.message), now, author=cause.author, new_attempt=fences, policy=judged_by)
    outcome = propose(FLOW_RUNS, stored.run.id, proposal)
    close_orphans(stored.run.id, end=end, cause=cause, now=now)
    return outcome.state


def close_orphans(
    flow_run_id: UUID, *, end: Callable[[str], State], cause: Cause, now: datetime, errors: FirstError | None = None
) -> FirstError:
    """Close the task runs and nested flow runs that a process left open, in the state that `end` makes from a message.

    Call it in the transaction that ends the attempt, because a new attempt may open the same task runs right
    afterwards. Nested runs of a deployment are executed by their own agents, and continue. A run that cannot be closed,
    as its record cannot be read, stays open: its error is logged and returned, and does not keep the attempt from its
    end.
    """
    errors = errors or FirstError()
    nested = FlowRun.objects.unfinished().filter(parent_task_run__flow_run=flow_run_id, deployment_id__isnull=True)
    # By ascending ids, as every unit of work locks runs.
    for nested_id in list(nested.order_by("pk").values_list("pk", flat=True)):
        state = end(f"The run that it is nested in is gone. {cause.message}")
        with errors.of_one_in_transaction(f"Flow run {nested_id}"):
            # As a new attempt: what still executes the nested run is refused from now on.
            propose(FLOW_RUNS, nested_id, Proposal(state, now, force=True, author=cause.author, new_attempt=True))
        close_orphans(nested_id, end=end, cause=cause, now=now, errors=errors)
    state = end(f"Its flow run is gone. {cause.message}")
    open_ones = TaskRun.objects.unfinished().filter(flow_run=flow_run_id)
    executed_elsewhere = open_ones.filter(child_flow_runs__deployment_id__isnull=False).values("pk")
    ids = list(open_ones.exclude(pk__in=executed_elsewhere).order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), TASK_RUNS_AT_ONCE):
        _close_task_runs(ids[start : start + TASK_RUNS_AT_ONCE], state, cause, now, errors)
    return errors


def _close_task_runs(run_ids: Sequence[UUID], state: State, cause: Cause, now: datetime, errors: FirstError) -> None:
    """Close task runs together, or one by one if that fails."""
    together = FirstError()
    # They have a savepoint of their own.
    with together.of_one(f"Task runs from {run_ids[0]}"):
        items = [TaskRunTransition(run_id, None, state, force=True) for run_id in run_ids]
        apply_task_run_transitions(items=items, now=now, sent_at=None, author=cause.author)
    if not together.is_any:
        return
    for run_id in run_ids:
        with errors.of_one_in_transaction(f"Task run {run_id}"):
            item = TaskRunTransition(run_id, None, state, force=True)
            apply_task_run_transitions(items=[item], now=now, sent_at=None, author=cause.author)
