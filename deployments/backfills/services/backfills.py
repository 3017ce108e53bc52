"""Create, pause, resume and cancel backfills."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from itertools import count
from uuid import UUID

from deployments.backfills.services.planning import MOST_AT_ONCE, NewBackfill, planned_backfill
from deployments.definitions.services.runs import refuse_another_queue
from deployments.errors import BackfillEnded, BackfillExists, BackfillNotFound, BadBackfill, DeploymentNotFound
from deployments.models import Backfill, BackfillTime, Deployment
from orchestration.authors import asker, asking_user
from orchestration.errors import FlowRunNotFound
from orchestration.new_ids import refuse_made
from orchestration.new_names import refuse_unreadable
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.ids import uuid7
from orionflow.contract.names import quoted
from runs.flow_runs.commands import cancel_flow_run
from runs.models import FlowRun
from runs.querysets import is_open

ENDED = (Backfill.Status.CANCELLED, Backfill.Status.DONE)


@repeated_on_conflict
def create_backfill(*, deployment_id: UUID, new: NewBackfill, now: datetime) -> Backfill:
    """Store a backfill with all of its times. The service of backfills creates the runs.

    Raises DeploymentNotFound, BackfillExists, MadeAlready, UnreadableName, BadBackfill, CalendarNotFound, BadTemplate
    and ParametersMisfit.
    """
    with write_transaction():
        refuse_made(Backfill, new.id, "a backfill")
        deployment = Deployment.objects.filter(pk=deployment_id).first()
        if deployment is None:
            raise DeploymentNotFound(id=deployment_id)
        refuse_another_queue(deployment, new.work_queue_name)
        plan = planned_backfill(deployment, new, now)
        if not plan.times:
            raise BadBackfill(reason=_why_nothing(bool(plan.completed), bool(plan.left_out)))
        backfill = Backfill(
            id=new.id or uuid7(),
            name=_free_name(deployment, new, plan.start, plan.end),
            deployment=deployment,
            start=plan.start,
            end=plan.end,
            definition=plan.definition,
            calendars=list(new.calendars),
            parameters=new.parameters,
            time_parameter=new.time_parameter,
            newest_first=new.newest_first,
            at_once=min(new.at_once, MOST_AT_ONCE),
            again=new.again,
            work_queue_name=new.work_queue_name,
            total=len(plan.times),
            author=asking_user(),
            created=now,
        )
        backfill.save(force_insert=True)
        rows = [BackfillTime(backfill=backfill, number=number, at=one.at) for number, one in enumerate(plan.times)]
        BackfillTime.objects.bulk_create(rows, batch_size=500)
        return backfill


def pause_backfill(*, backfill_id: UUID, now: datetime) -> None:
    """Create no more runs. Existing runs continue."""
    _change(backfill_id, Backfill.Status.PAUSED, now)


def resume_backfill(*, backfill_id: UUID, now: datetime) -> None:
    _change(backfill_id, Backfill.Status.ACTIVE, now)


def cancel_backfill(*, backfill_id: UUID, now: datetime, author: str | None = None) -> None:
    """Create no more runs, and cancel those that have not ended: at most as many as may be open at the same time.

    A repeat cancels what is still open, because a first request may have failed on its way.
    """
    # First, so that no further run is created while the others are cancelled.
    backfill = _change(backfill_id, Backfill.Status.CANCELLED, now)
    made = BackfillTime.objects.filter(backfill=backfill_id, run_id__isnull=False, is_over=False)
    still_open = FlowRun.objects.filter(is_open(), pk__in=made.values("run_id"))
    name = quoted(backfill.name)
    for run_id in list(still_open.values_list("pk", flat=True)):
        # It may have been deleted in the meantime.
        with suppress(FlowRunNotFound):
            cancel_flow_run(run_id=run_id, now=now, author=author, message=f"Backfill {name} was cancelled.")


@repeated_on_conflict
def _change(backfill_id: UUID, status: Backfill.Status, now: datetime) -> Backfill:
    with write_transaction():
        backfill = Backfill.objects.select_for_update(no_key=True).filter(pk=backfill_id).first()
        if backfill is None:
            raise BackfillNotFound(id=backfill_id)
        if backfill.status == status == Backfill.Status.CANCELLED:
            return backfill
        if backfill.status in ENDED:
            raise BackfillEnded(name=backfill.name, status=backfill.status)
        ended_at = now if status in ENDED else None
        # The user who resumes it becomes its author.
        resumes = status == Backfill.Status.ACTIVE and asker.get() is not None
        by = {"author": asking_user()} if resumes else {}
        Backfill.objects.filter(pk=backfill_id).update(status=status, problem="", ended_at=ended_at, updated=now, **by)
        return backfill


def _why_nothing(has_completed: bool, has_left_out: bool) -> str:
    if has_completed:
        return "Every time between the start and the end has a completed run; ask for them again if they are to be run."
    if has_left_out:
        return "The calendars leave out every time between the start and the end."
    return "The schedule names no time between the start and the end."


def _free_name(deployment: Deployment, new: NewBackfill, start: datetime, end: datetime) -> str:
    taken = Backfill.objects.filter
    if new.name:
        if taken(name=new.name).exists():
            raise BackfillExists(name=new.name)
        refuse_unreadable(new.name)
        return new.name
    base = f"{deployment.name[:200]}-{start:%Y-%m-%d}-{end:%Y-%m-%d}"
    # Names are unique: if another backfill takes this one at the same moment, all of it is repeated.
    names = (base if number == 1 else f"{base}-{number}" for number in count(1))
    return next(name for name in names if not taken(name=name).exists())
