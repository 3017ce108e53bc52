"""Start bulk actions, stop them, and carry them out: each run gets the command that a user would give for it alone.

The outcome of a run is written in the transaction that tries it. So each is tried once, even if several servers work on
the same action, and another server continues after one that was killed.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import OperationalError, transaction
from django.db.models import F, QuerySet

from orchestration.acts import act_of, note
from orchestration.authors import asking_user, refusal, refused_among
from orchestration.errors import DomainError, FlowRunNotFound
from orchestration.one_by_one import FirstError
from orchestration.sight import seeing
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.ids import uuid7
from runs.errors import BulkActionNotFound, BulkActionTaken, NothingToChange
from runs.flow_runs.commands import cancel_flow_run, retry_flow_run, why_left_out
from runs.flow_runs.services import delete_flow_run
from runs.models import BulkAction, BulkRun, FlowRun
from runs.retries.services import Preview, retry_one_of_many, shared_reason, weigh_one_of_many

logger = logging.getLogger("orion.bulk_actions")

# The most runs of one action.
MOST = 10_000
# The most runs that are tried at once while the user waits for the answer, and for how many seconds.
FEW, PATIENCE_SECONDS = 200, 5.0
# The most runs in one transaction, and the time after which it tries no more: on SQLite it holds up every writer.
STEP, STEP_SECONDS = 50, 0.05
# Seconds until other services of the thread get their turn.
TICK_SECONDS = 0.5
# Different reasons that are counted; some contain a name that no other reason has.
MOST_REASONS = 50
CHANGES_RUNS = "runs.change"
OTHER_REASONS = "other reasons"

# By run, the plan of its retry from tasks, or why there is none.
Weighed = Mapping[UUID, Preview | Exception]

Kind, Status, Outcome = BulkAction.Kind, BulkAction.Status, BulkRun.Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBulkAction:
    """A command for these runs, by id and name, in the order in which they are tried.

    A known `id` means that the same command was sent again. A retry may start from some tasks of each run.
    """

    action: str
    runs: Sequence[tuple[UUID, str]]
    filter: Mapping[str, Any]
    author: str
    entrance: str
    is_cut: bool = False
    id: UUID | None = None
    from_tasks: Sequence[str] = ()


@repeated_on_conflict
def begin_bulk_action(*, new: NewBulkAction, now: datetime) -> BulkAction:
    """Store the command; the service carries it out. Raises BulkActionTaken, and NothingToChange without runs."""
    with write_transaction():
        known: BulkAction | None = BulkAction.objects.filter(pk=new.id).first() if new.id else None
        if known is not None:
            # Knowing the id is not enough: the answer names the runs and the filter of the user who started the action.
            if (known.user, known.action) != (asking_user(), new.action):
                raise BulkActionTaken(id=known.pk)
            return known
        if not new.runs:
            raise NothingToChange(action=new.action)
        bulk = BulkAction(
            id=new.id or uuid7(),
            action=Kind(new.action),
            author=new.author,
            user=asking_user(),
            entrance=new.entrance,
            filter=dict(new.filter),
            from_tasks=list(new.from_tasks),
            is_cut=new.is_cut,
            total=len(new.runs),
            created=now,
        )
        bulk.save(force_insert=True)
        rows = (
            BulkRun(bulk_action=bulk, number=number, run_id=run_id, name=name)
            for number, (run_id, name) in enumerate(new.runs)
        )
        BulkRun.objects.bulk_create(rows, batch_size=500)
    return bulk


@repeated_on_conflict
def stop_bulk_action(*, bulk_id: UUID, now: datetime) -> bool:
    """Try no further runs. Return whether the action was still active. Raises BulkActionNotFound."""
    with write_transaction():
        bulk = BulkAction.objects.select_for_update(no_key=True).filter(pk=bulk_id).first()
        if bulk is None:
            raise BulkActionNotFound(id=bulk_id)
        if bulk.status != Status.ACTIVE:
            return False
        BulkAction.objects.filter(pk=bulk_id).update(status=Status.STOPPED, ended_at=now, updated=now)
    return True


def work_on_bulk_actions(now: datetime) -> int:
    """Try runs of the active actions, in turn, for at most TICK_SECONDS and a step. Return the number of runs.

    An error with one action does not stop the others; the first error is raised at the end.
    """
    until, tried = time.monotonic() + TICK_SECONDS, 0
    active = deque(BulkAction.objects.filter(status=Status.ACTIVE).order_by("created").values_list("pk", flat=True))
    first = FirstError()
    while active:
        bulk_id = active.popleft()
        with first.of_one(f"Bulk action {bulk_id}"):
            if number := _step(bulk_id, now):
                tried += number
                active.append(bulk_id)
        if time.monotonic() > until:
            break
    first.raise_any()
    return tried


def carry_out_bulk_action(*, new: NewBulkAction, now: datetime) -> BulkAction:
    """Store the command, and carry it out if it concerns few runs; the service carries out what is left.

    Raises BulkActionTaken, and NothingToChange without runs.
    """
    bulk = begin_bulk_action(new=new, now=now)
    return finish_at_once(bulk_id=bulk.pk, now=now) if bulk.total <= FEW else bulk


def finish_at_once(*, bulk_id: UUID, now: datetime) -> BulkAction:
    """Carry out an action that concerns few runs; leave to the service what takes too long."""
    until = time.monotonic() + PATIENCE_SECONDS
    # The runs were chosen among those that the user may change. A deleted run is visible to no user.
    with seeing(None):
        while time.monotonic() < until and _step(bulk_id, now):
            pass
        return BulkAction.objects.get(pk=bulk_id)


@repeated_on_conflict
def _step(bulk_id: UUID, now: datetime) -> int:
    """Try the next few runs of an action. Return their number: 0 when none is left or another server works on it."""
    active = BulkAction.objects.filter(pk=bulk_id, status=Status.ACTIVE)
    found = active.first()
    if found is None:
        return 0
    # Before the transaction: reading thousands of calls must not hold up other writers.
    weighed = _weigh_next(found, now) if found.from_tasks else {}
    with _act(found), write_transaction():
        bulk = active.select_for_update(skip_locked=True, no_key=True).first()
        if bulk is None:
            return 0
        if reason := refusal(bulk.user, CHANGES_RUNS):
            active.update(
                status=Status.STOPPED,
                problem=f"{bulk.author} may no longer do this: {reason}",
                ended_at=now,
                updated=now,
            )
            return 0
        left = list(_left(bulk))
        if not left:
            active.update(status=Status.DONE, ended_at=now, updated=now)
            return 0
        if bulk.from_tasks:
            # Another server may have tried those that were weighed.
            left = [run for run in left if run.run_id in weighed]
        tried = _try(bulk, left, weighed, now)
        BulkRun.objects.bulk_update(tried, ["outcome", "reason"])
        numbers = Counter(str(run.outcome) for run in tried)
        active.update(
            done=F("done") + numbers[Outcome.DONE],
            refused=F("refused") + numbers[Outcome.REFUSED],
            failed=F("failed") + numbers[Outcome.FAILED],
            reasons=_with_reasons(bulk.reasons, tried),
            updated=now,
        )
    return len(tried)


def _left(bulk: BulkAction) -> QuerySet[BulkRun, BulkRun]:
    return BulkRun.objects.filter(bulk_action=bulk, outcome=Outcome.LEFT).order_by("number")[:STEP]


def _weigh_next(bulk: BulkAction, now: datetime) -> Weighed:
    until, weighed = time.monotonic() + STEP_SECONDS, dict[UUID, Preview | Exception]()
    for run in _left(bulk):
        try:
            weighed[run.run_id] = weigh_one_of_many(run_id=run.run_id, wanted=bulk.from_tasks, now=now)
        except OperationalError:
            raise
        except Exception as error:
            # It is raised again, and answered, where this run is tried.
            weighed[run.run_id] = error
        if time.monotonic() > until:
            break
    return weighed


def _act(bulk: BulkAction) -> AbstractContextManager[object]:
    """Record what the service does as done by the user who asked for it."""
    return act_of(entrance=bulk.entrance, actor=bulk.author, action="runs.change", operation=f"bulk-action {bulk.pk}")


def _try(bulk: BulkAction, runs: Sequence[BulkRun], weighed: Weighed, now: datetime) -> list[BulkRun]:
    until, tried = time.monotonic() + STEP_SECONDS, list[BulkRun]()
    refused = refused_among(bulk.user, CHANGES_RUNS, FlowRun._meta.db_table, [run.run_id for run in runs])
    for run in runs:
        if run.run_id in refused:
            run.outcome, run.reason = Outcome.REFUSED, f"the roles of {bulk.author} do not allow it"
        else:
            run.outcome, run.reason = _outcome_of(bulk, run.run_id, weighed, now)
        tried.append(run)
        if time.monotonic() > until:
            break
    return tried


def _outcome_of(bulk: BulkAction, run_id: UUID, weighed: Weighed, now: datetime) -> tuple[BulkRun.Outcome, str]:
    try:
        # A failure with one run must not undo the work on the others.
        with transaction.atomic():
            if bulk.from_tasks:
                refusal = _retry_from_tasks(weighed[run_id], now, bulk)
            else:
                refusal = COMMANDS[bulk.action](run_id, now, bulk)
        return (Outcome.REFUSED, refusal) if refusal else (Outcome.DONE, "")
    except FlowRunNotFound:
        return Outcome.REFUSED, "it was deleted in the meantime"
    except DomainError as error:
        return Outcome.REFUSED, shared_reason(error)
    except OperationalError:
        # A conflict with another transaction, or the database is unreachable: the whole step is repeated.
        raise
    except Exception as error:
        logger.exception("%s of flow run %s failed", bulk.action, run_id)
        reason = f"{type(error).__name__}: {error}"
        note("flow-run", run_id, refused=reason)
        return Outcome.FAILED, reason


def _cancel(run_id: UUID, now: datetime, bulk: BulkAction) -> str:
    return cancel_flow_run(run_id=run_id, now=now, author=bulk.author).refusal


def _retry(run_id: UUID, now: datetime, bulk: BulkAction) -> str:
    run = FlowRun.objects.filter(pk=run_id).only("state_type").first()
    left_out = why_left_out(run) if run else ""
    return left_out or retry_flow_run(run_id=run_id, now=now, author=bulk.author).refusal


def _retry_from_tasks(weighed: Preview | Exception, now: datetime, bulk: BulkAction) -> str:
    if isinstance(weighed, Exception):
        raise weighed
    return retry_one_of_many(preview=weighed, wanted=bulk.from_tasks, now=now, author=bulk.author)


def _delete(run_id: UUID, now: datetime, bulk: BulkAction) -> str:
    delete_flow_run(run_id=run_id, now=now)
    return ""


COMMANDS: Mapping[str, Callable[[UUID, datetime, BulkAction], str]] = {
    Kind.RETRY: _retry,
    Kind.CANCEL: _cancel,
    Kind.DELETE: _delete,
}


def _with_reasons(reasons: Mapping[str, int], tried: Sequence[BulkRun]) -> dict[str, int]:
    counted = Counter(reasons)
    for run in tried:
        if run.reason:
            is_room = run.reason in counted or len(counted) < MOST_REASONS
            counted[run.reason if is_room else OTHER_REASONS] += 1
    return dict(counted)
