"""Expire pauses and finish cancellations. Several processes may call both at any time.

Runs are found without a lock, so each is checked again under its lock: since then it may have ended, started again or
been deleted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TypeVar
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from orchestration.batch import TaskRunTransition, apply_task_run_transitions
from orchestration.core.states import StateType, cancelled, cancelling, failed
from orchestration.errors import FlowRunNotFound
from orchestration.one_by_one import FirstError, concerns_every_row, work_on_each
from orchestration.proposals import Proposal
from orchestration.services import propose
from orchestration.stored import locked_run
from orchestration.tables import FLOW_RUNS, TASK_RUNS, lock
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.models import FlowRun, FlowRunState, TaskRun
from runs.querysets import RunQuerySet

T = TypeVar("T")

BATCH = 200
TASKS_PER_RUN = 100
# Task runs in one transaction: on SQLite it holds up every writer.
PORTION = 100
# Seconds until other services of the thread get their turn; the next tick continues.
TICK_SECONDS = 2.0
# A cancelled run that was not cleaned up for a day has no process left that writes to it.
CLEAN_UP_WINDOW = timedelta(days=1)
CLEAN_UP = "cancellation clean-up"
PARENT_CANCELLED = "The parent flow run was cancelled."
# An agent that was asked to stop a run will do so; without an agent, no process would.
_ENDED_BY_AN_AGENT = Q(state_type="CANCELLING", deployment_id__isnull=False)


def fail_expired_pauses(now: datetime) -> int:
    """Fail the flow runs whose pause ended without an answer. Return their number.

    An error with one run does not stop the others; the first error is raised at the end.
    """
    until = time.monotonic() + TICK_SECONDS
    return work_on_each(_while_time(_expired_pauses(now), until), lambda run_id: _fail_expired(run_id, now), "Flow run")


def _while_time(rows: Iterable[T], until: float) -> Iterator[T]:
    """Yield rows, at least one, as long as the time is not over."""
    for row in rows:
        yield row
        if time.monotonic() > until:
            break


def _expired_pauses(now: datetime) -> list[UUID]:
    paused = FlowRun.objects.in_state(StateType.PAUSED).values("state_id")
    states = FlowRunState.objects.filter(pk__in=paused).values_list("flow_run_id", "details__pause_timeout")
    # A pause without a timeout never expires.
    return [run_id for run_id, until in states if until and datetime.fromisoformat(until) < now][:BATCH]


@repeated_on_conflict
def _fail_expired(run_id: UUID, now: datetime) -> bool:
    with write_transaction():
        try:
            state = locked_run(FLOW_RUNS, run_id).state
        except FlowRunNotFound:
            return False
        if state is None or state.type is not StateType.PAUSED:
            return False
        # It may have been resumed and paused again.
        if state.details.pause_timeout is None or state.details.pause_timeout >= now:
            return False
        ended = failed("The flow was paused and never resumed.")
        return propose(FLOW_RUNS, run_id, Proposal(ended, now, force=True, author="pause expiry")).written


def clean_up_cancelled(now: datetime) -> int:
    """Cancel unfinished task runs and nested flow runs of cancelled flow runs, as many as time allows.

    Return their number. An error with some of them does not stop the others; the first error is raised at the end.
    """
    until = time.monotonic() + TICK_SECONDS
    first, number = FirstError(), 0
    with first.of_one("Nested runs of cancelled flow runs"):
        number += _cancel_nested_runs(now, until)
    number += _cancel_task_runs(now, until)
    first.raise_any()
    return number


def _cancel_task_runs(now: datetime, until: float) -> int:
    left = _task_runs_below_cancelled(now).order_by("flow_run_id", "pk").values_list("pk", flat=True)
    run_ids = list(left[: BATCH * TASKS_PER_RUN])
    first, number = FirstError(), 0
    for start in _while_time(range(0, len(run_ids), PORTION), until):
        portion = run_ids[start : start + PORTION]
        with first.of_one(f"Task runs from {portion[0]}"):
            number += _cancel_together(portion, now)
    first.raise_any()
    return number


def _cancel_together(run_ids: Sequence[UUID], now: datetime) -> int:
    """Cancel task runs in one transaction; one by one if that fails, because an error with one undoes them all."""
    try:
        return _cancel_portion(run_ids, now)
    except Exception as error:
        if len(run_ids) == 1 or concerns_every_row(error):
            raise
    return work_on_each(run_ids, lambda run_id: _cancel_portion([run_id], now), "Task run")


def _task_runs_below_cancelled(now: datetime) -> RunQuerySet:
    found: RunQuerySet = TaskRun.objects.open().filter(
        flow_run__state_type="CANCELLED", flow_run__state_timestamp__gt=now - CLEAN_UP_WINDOW
    )
    return found


@repeated_on_conflict
def _cancel_portion(run_ids: Sequence[UUID], now: datetime) -> int:
    with write_transaction():
        lock(TASK_RUNS, run_ids)
        left = list(_task_runs_below_cancelled(now).filter(pk__in=run_ids).order_by("pk").values_list("pk", flat=True))
        items = [TaskRunTransition(run_id, None, cancelled(PARENT_CANCELLED), force=True) for run_id in left]
        apply_task_run_transitions(items=items, now=now, sent_at=None, author=CLEAN_UP)
    return len(left)


def _cancel_nested_runs(now: datetime, until: float) -> int:
    left = _runs_below_cancelled(now).exclude(_ENDED_BY_AN_AGENT)
    # Sorted here, because with ORDER BY SQLite would scan the ids of all runs.
    runs = sorted(left.order_by().values_list("pk", "deployment_id")[:BATCH], key=itemgetter(0))
    is_deployed = {run_id: deployment_id is not None for run_id, deployment_id in runs}
    return work_on_each(
        _while_time(is_deployed, until),
        lambda run_id: _cancel_nested(run_id, now, is_deployed=is_deployed[run_id]),
        "Flow run",
    )


def _runs_below_cancelled(now: datetime) -> RunQuerySet:
    below_cancelled = TaskRun.objects.filter(
        pk=OuterRef("parent_task_run"),
        flow_run__state_type="CANCELLED",
        flow_run__state_timestamp__gt=now - CLEAN_UP_WINDOW,
    )
    # EXISTS for each unfinished run: with a join, SQLite's planner would start from all cancelled runs.
    found: RunQuerySet = FlowRun.objects.open().filter(Exists(below_cancelled), parent_task_run__isnull=False)
    return found


@repeated_on_conflict
def _cancel_nested(run_id: UUID, now: datetime, *, is_deployed: bool) -> bool:
    with write_transaction():
        lock(FLOW_RUNS, [run_id])
        if not _runs_below_cancelled(now).exclude(_ENDED_BY_AN_AGENT).filter(pk=run_id).exists():
            return False
        # A deployed run has a process of its own, and an agent that stops it.
        ended = cancelling(PARENT_CANCELLED) if is_deployed else cancelled(PARENT_CANCELLED)
        return propose(FLOW_RUNS, run_id, Proposal(ended, now, force=not is_deployed, author=CLEAN_UP)).written
