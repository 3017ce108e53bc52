"""Commands of operators on deployments, work and limits. They call the services of the API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms

from deployments.backfills.services.backfills import cancel_backfill, pause_backfill, resume_backfill
from deployments.definitions.core.hydration import BadTemplate
from deployments.definitions.services.only_schedule import pause_or_resume
from deployments.definitions.services.runs import RunOptions, create_run_of_deployment
from deployments.dispatch.services.agents import delete_worker
from deployments.dispatch.services.attempt_exit import Cause, release_by_force
from deployments.limits.services.global_limits import release_all_slots
from deployments.limits.services.held_slots import release_leases
from deployments.limits.services.limits import release_slot, reset_limit
from deployments.models import (
    Backfill,
    ConcurrencyLimit,
    Deployment,
    GlobalLimit,
    GlobalSlot,
    Lease,
    Slot,
    Worker,
    WorkPool,
    WorkQueue,
)
from deployments.work.services.work_pools import update_work_pool
from deployments.work.services.work_queues import update_work_queue
from orion_site.accounts.permissions import Action
from orion_site.operators.commands import Command, Submission, switches


class ReasonForm(forms.Form):
    """The reason for an action that no program requested."""

    reason = forms.CharField(max_length=1000, help_text="Recorded in the history with your name.")


PAUSED = {True: "it is paused already", False: "it is not paused"}


def _switch_deployment(paused: bool) -> Callable[[Any, Submission], str]:
    return switches(
        "paused",
        paused,
        PAUSED[paused],
        lambda row, submission: pause_or_resume(deployment_id=row.pk, paused=paused, now=submission.now),
    )


def _switch_work(paused: bool) -> Callable[[Any, Submission], str]:
    def switch(row: WorkPool | WorkQueue, submission: Submission) -> None:
        switch_work(row, paused=paused, now=submission.now)

    return switches("is_paused", paused, PAUSED[paused], switch)


def switch_work(row: WorkPool | WorkQueue, *, paused: bool, now: datetime) -> None:
    """Pause or resume a pool or a queue."""
    changes = {"is_paused": paused}
    if isinstance(row, WorkPool):
        update_work_pool(name=row.name, changes=changes, now=now)
    else:
        update_work_queue(queue_id=row.pk, changes=changes, now=now)


def _run_now(row: Deployment, submission: Submission) -> str:
    try:
        create_run_of_deployment(deployment_id=row.pk, options=RunOptions(), state=None, now=submission.now)
    except BadTemplate as error:
        return str(error)
    return ""


def _end_attempt(row: Lease, submission: Submission) -> str:
    message = f"The attempt was ended by an operator: {submission.values['reason']}"
    release_by_force(run_id=row.pk, cause=Cause(message, submission.author), now=submission.now)
    return ""


def _forget_worker(row: Worker, submission: Submission) -> str:
    delete_worker(pool_name=row.work_pool.name, name=row.name)
    return ""


def _release_tag_slot(row: Slot, submission: Submission) -> str:
    release_slot(tag=row.limit.tag, task_run_id=row.task_run_id)
    return ""


def _reset_tag_limit(row: ConcurrencyLimit, submission: Submission) -> str:
    reset_limit(tag=row.tag, now=submission.now)
    return ""


def _release_global_slot(row: GlobalSlot, submission: Submission) -> str:
    release_leases(ids=[row.pk], now=submission.now)
    return ""


def _reset_global_limit(row: GlobalLimit, submission: Submission) -> str:
    release_all_slots(limit_id=row.pk, now=submission.now)
    return ""


def _pause_backfill(row: Backfill, submission: Submission) -> str:
    pause_backfill(backfill_id=row.pk, now=submission.now)
    return ""


def _resume_backfill(row: Backfill, submission: Submission) -> str:
    resume_backfill(backfill_id=row.pk, now=submission.now)
    return ""


def _cancel_backfill(row: Backfill, submission: Submission) -> str:
    cancel_backfill(backfill_id=row.pk, now=submission.now, author=submission.author)
    return ""


ON_DEPLOYMENTS = (
    Command(
        name="pause",
        label="Pause",
        needs=Action.CHANGE_DEPLOYMENTS,
        explanation="Their schedules plan no runs, and the planned runs are deleted. They can still be run by hand.",
        done="paused",
        do=_switch_deployment(paused=True),
    ),
    Command(
        name="resume",
        label="Resume",
        needs=Action.CHANGE_DEPLOYMENTS,
        explanation="Their schedules plan runs again, from now on.",
        done="no longer paused",
        do=_switch_deployment(paused=False),
    ),
    Command(
        name="run",
        label="Run now",
        needs=Action.RUN_DEPLOYMENTS,
        explanation="One run of each is due now, with the parameters of the deployment.",
        done="with a run that is due now",
        do=_run_now,
    ),
)
ON_WORK = (
    Command(
        name="pause",
        label="Pause",
        needs=Action.CHANGE_QUEUES,
        explanation="No run starts from them until they are resumed.",
        done="paused",
        do=_switch_work(paused=True),
    ),
    Command(
        name="resume",
        label="Resume",
        needs=Action.CHANGE_QUEUES,
        explanation="Runs start from them again.",
        done="no longer paused",
        do=_switch_work(paused=False),
    ),
)
ON_WORKERS = (
    Command(
        name="forget",
        label="Forget",
        needs=Action.CHANGE_QUEUES,
        explanation="They are removed from the list. One that is still running returns with its next heartbeat.",
        done="forgotten",
        do=_forget_worker,
        is_deletion=True,
    ),
)
ON_LEASES = (
    Command(
        name="end",
        label="End the attempt of",
        needs=Action.CHANGE_RUNS,
        explanation="The attempts count as crashed, or as cancelled if cancellation was requested, and their slots are "
        "released. Later reports of the agent about them are refused. The crash retries of the deployment apply.",
        done="given up",
        do=_end_attempt,
        form=ReasonForm,
        is_deletion=True,
    ),
)
ON_TAG_LIMITS = (
    Command(
        name="reset",
        label="Free all slots of",
        needs=Action.CHANGE_LIMITS,
        explanation="All slots are released, also those of task runs that continue: as many more task runs may start.",
        done="free",
        do=_reset_tag_limit,
    ),
)
ON_SLOTS = (
    Command(
        name="release",
        label="Release",
        needs=Action.CHANGE_LIMITS,
        explanation="The slots are released, and other task runs may start, even while the holders continue.",
        done="free",
        do=_release_tag_slot,
        is_deletion=True,
    ),
)
ON_GLOBAL_LIMITS = (
    Command(
        name="reset",
        label="Free all slots of",
        needs=Action.CHANGE_LIMITS,
        explanation="All slots are released, also those of runs that continue, and the counts of slots without a lease "
        "are reset.",
        done="free",
        do=_reset_global_limit,
    ),
)
ON_GLOBAL_SLOTS = (
    Command(
        name="release",
        label="Release",
        needs=Action.CHANGE_LIMITS,
        explanation="The slots are released, and others may take them, even while the holders continue.",
        done="free",
        do=_release_global_slot,
        is_deletion=True,
    ),
)
ON_BACKFILLS = (
    Command(
        name="pause",
        label="Pause",
        needs=Action.CHANGE_BACKFILLS,
        explanation="They make no runs until resumed.",
        done="paused",
        do=_pause_backfill,
    ),
    Command(
        name="resume",
        label="Resume",
        needs=Action.CHANGE_BACKFILLS,
        explanation="They make runs again.",
        done="no longer paused",
        do=_resume_backfill,
    ),
    Command(
        name="cancel",
        label="Cancel",
        needs=Action.CHANGE_BACKFILLS,
        explanation="They create no more runs, and their open runs are cancelled.",
        done="cancelled",
        do=_cancel_backfill,
    ),
)
