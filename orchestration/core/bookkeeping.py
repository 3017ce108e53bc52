"""The effect of a written state on its run: times, counts, pauses. Applies to forced states, too.

The rules decide whether a state is written; this module only records the consequences.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from orchestration.core.effects import Effect, EndLease, ExpireCaches, MirrorToParentTask, ReleaseSlots
from orchestration.core.runs import Run, revised
from orchestration.core.states import State, StateType
from orionflow.contract.states import BETWEEN_ATTEMPTS, EXECUTING

RELEASE: tuple[Effect, ...] = (ReleaseSlots(),)
EXPIRE: tuple[Effect, ...] = (ExpireCaches(),)
END_LEASE: tuple[Effect, ...] = (EndLease(),)


def settle(run: Run, initial: State | None, written: State) -> Run:
    """Return the run after `written` has become its state. `written` must have a timestamp."""
    assert written.timestamp is not None
    changes = _times(run, initial, written, written.timestamp)
    if written.type is StateType.RUNNING and not run.policy.resuming:
        changes["run_count"] = run.run_count + 1
    if run.kind == "flow-run":
        _remember_resuming(run, initial, written, changes)
    return revised(run, **changes) if changes else run


def consequences(run: Run, initial: State | None, written: State) -> tuple[Effect, ...]:
    """Return the effects of any written state, no matter which rule or force led to it.

    A task run releases its slots, and its cached results expire when it leaves a final state. A flow run whose attempt
    is over ends its lease, and a nested one updates the task run of its parent.
    """
    if run.kind == "task-run":
        release = RELEASE if run.tags and written.type not in EXECUTING else ()
        reopened = initial is not None and initial.is_terminal and not written.is_terminal
        return EXPIRE + release if reopened else release
    ended = END_LEASE if run.leased and is_out_of_process(run, written) else ()
    if run.parent_task_run_id is not None:
        return (*ended, MirrorToParentTask(run.parent_task_run_id))
    return ended


def is_out_of_process(run: Run, state: State) -> bool:
    """Whether no process executes a flow run in this state: it has ended, or waits for an agent to start it."""
    match state.type:
        case StateType.SCHEDULED:
            return run.policy.retry_type != "in_process"
        case StateType.PAUSED:
            return state.details.pause_reschedule
    return state.is_terminal


def _times(run: Run, initial: State | None, written: State, at: datetime) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if initial is not None:
        _leave(run, initial, written, at, changes)
    if written.type is StateType.RUNNING and run.start_time is None:
        changes["start_time"] = at
    # A run that never started has no end time: its validation failed, or it was cancelled while it waited.
    if written.is_terminal and run.start_time is not None and run.end_time is None:
        changes["end_time"] = at
    if written.type is StateType.SCHEDULED:
        changes["next_scheduled_start_time"] = written.details.scheduled_time
    if run.expected_start_time is None:
        changes["expected_start_time"] = written.details.scheduled_time if written.type is StateType.SCHEDULED else at
    return changes


def _leave(run: Run, initial: State, written: State, at: datetime, changes: dict[str, Any]) -> None:
    if initial.type is StateType.RUNNING and initial.timestamp is not None and at > initial.timestamp:
        changes["total_run_time"] = run.total_run_time + (at - initial.timestamp)
    if initial.type is StateType.SCHEDULED:
        changes["next_scheduled_start_time"] = None
    if initial.is_terminal and not written.is_terminal:
        changes["end_time"] = None


def _remember_resuming(run: Run, initial: State | None, written: State, changes: dict[str, Any]) -> None:
    """Mark the run as resuming when it leaves a pause; entering RUNNING or a final state removes the mark.

    A run that resumes in its process enters RUNNING directly from the pause: `run_count` counts this as a start, and
    `resumes` records that it began no new attempt. A suspended run passes through SCHEDULED and still has the mark when
    it enters RUNNING, so that start is not counted. A run that crashed while it was paused begins a new attempt.
    """
    policy = run.policy
    resuming = policy.resuming
    if resuming and (written.type is StateType.RUNNING or written.is_terminal):
        resuming = False
    if initial is not None and initial.type is StateType.PAUSED and _resumes(written):
        resuming = True
        if "run_count" in changes:
            policy = replace(policy, resumes=policy.resumes + 1)
    if resuming is not policy.resuming:
        policy = replace(policy, resuming=resuming)
    if policy is not run.policy:
        changes["policy"] = policy


def _resumes(written: State) -> bool:
    return not written.is_terminal and written.name not in BETWEEN_ATTEMPTS
