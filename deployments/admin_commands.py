"""Commands of operators on deployments, work and limits. They call the services of the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.db.models import Q

from deployments.backfills.services.backfills import cancel_backfill, pause_backfill, resume_backfill
from deployments.definitions.core.hydration import BadTemplate
from deployments.definitions.services.deployments import update_deployment
from deployments.definitions.services.runs import RunOptions, create_run_of_deployment
from deployments.dispatch.services.agents import delete_worker
from deployments.dispatch.services.attempt_exit import Cause, release_by_force
from deployments.limits.services.global_limits import update_global_limit
from deployments.limits.services.held_slots import release_leases
from deployments.limits.services.limits import release_slot, reset_limit
from deployments.models import GlobalSlot
from deployments.work.services.work_pools import update_work_pool
from deployments.work.services.work_queues import update_work_queue
from orion_site.accounts.permissions import Action
from orion_site.operators.commands import Command, Submission, switches


class ReasonForm(forms.Form):
    """The reason for an action that no program requested."""

    reason = forms.CharField(max_length=1000, help_text="Recorded in the history with your name.")


PAUSED = {True: "it is paused already", False: "it is not paused"}


def _deployment(paused: bool) -> Callable[[Any, Submission], str]:
    return switches(
        "paused",
        paused,
        PAUSED[paused],
        lambda row, submission: update_deployment(deployment_id=row.pk, changes={"paused": paused}, now=submission.now),
    )


def _work(paused: bool) -> Callable[[Any, Submission], str]:
    def switch(row: Any, submission: Submission) -> None:
        changes = {"is_paused": paused}
        if row._meta.model_name == "workpool":
            update_work_pool(name=row.name, changes=changes, now=submission.now)
        else:
            update_work_queue(queue_id=row.pk, changes=changes, now=submission.now)

    return switches("is_paused", paused, PAUSED[paused], switch)


def _run_now(row: Any, submission: Submission) -> str:
    try:
        create_run_of_deployment(deployment_id=row.pk, options=RunOptions(), state=None, now=submission.now)
    except BadTemplate as error:
        return str(error)
    return ""


def _end_attempt(row: Any, submission: Submission) -> str:
    message = f"The attempt was ended by an operator: {submission.values['reason']}"
    release_by_force(run_id=row.pk, cause=Cause(message, submission.author), now=submission.now)
    return ""


def _forget(row: Any, submission: Submission) -> str:
    delete_worker(pool_name=row.work_pool.name, name=row.name)
    return ""


def _release(row: Any, submission: Submission) -> str:
    release_slot(tag=row.limit.tag, task_run_id=row.task_run_id)
    return ""


def _reset(row: Any, submission: Submission) -> str:
    reset_limit(tag=row.tag, now=submission.now)
    return ""


def _release_global(row: Any, submission: Submission) -> str:
    release_leases(ids=[row.pk], now=submission.now)
    return ""


def _reset_global(row: Any, submission: Submission) -> str:
    release_leases(ids=list(GlobalSlot.objects.filter(limit=row).values_list("pk", flat=True)), now=submission.now)
    update_global_limit(which=Q(pk=row.pk), changes={"active_slots": 0, "denied_slots": 0}, now=submission.now)
    return ""


ON_DEPLOYMENTS = (
    Command(
        "pause",
        "Pause",
        Action.CHANGE_DEPLOYMENTS,
        "Their schedules plan no runs, and the planned runs are deleted. They can still be run by hand.",
        "paused",
        _deployment(paused=True),
    ),
    Command(
        "resume",
        "Resume",
        Action.CHANGE_DEPLOYMENTS,
        "Their schedules plan runs again, from now on.",
        "no longer paused",
        _deployment(paused=False),
    ),
    Command(
        "run",
        "Run now",
        Action.RUN_DEPLOYMENTS,
        "One run of each is due now, with the parameters of the deployment.",
        "with a run that is due now",
        _run_now,
    ),
)
ON_WORK = (
    Command(
        "pause",
        "Pause",
        Action.CHANGE_QUEUES,
        "No run starts from them until they are resumed.",
        "paused",
        _work(paused=True),
    ),
    Command(
        "resume",
        "Resume",
        Action.CHANGE_QUEUES,
        "Runs start from them again.",
        "no longer paused",
        _work(paused=False),
    ),
)
ON_WORKERS = (
    Command(
        "forget",
        "Forget",
        Action.CHANGE_QUEUES,
        "They are removed from the list. One that is still running returns with its next heartbeat.",
        "forgotten",
        _forget,
        is_deletion=True,
    ),
)
ON_LEASES = (
    Command(
        "end",
        "End the attempt of",
        Action.CHANGE_RUNS,
        "The attempts count as crashed, or as cancelled if cancellation was requested, and their slots are released. "
        "Later reports of the agent about them are refused. The crash retries of the deployment apply.",
        "given up",
        _end_attempt,
        ReasonForm,
        is_deletion=True,
    ),
)
ON_TAG_LIMITS = (
    Command(
        "reset",
        "Free all slots of",
        Action.CHANGE_LIMITS,
        "All slots are released, also those of task runs that continue: as many more task runs may start.",
        "free",
        _reset,
    ),
)
ON_SLOTS = (
    Command(
        "release",
        "Release",
        Action.CHANGE_LIMITS,
        "The slots are released, and other task runs may start, even while the holders continue.",
        "free",
        _release,
        is_deletion=True,
    ),
)
ON_GLOBAL_LIMITS = (
    Command(
        "reset",
        "Free all slots of",
        Action.CHANGE_LIMITS,
        "All slots are released, also those of runs that continue, and the counts of slots without a lease are reset.",
        "free",
        _reset_global,
    ),
)
ON_GLOBAL_SLOTS = (
    Command(
        "release",
        "Release",
        Action.CHANGE_LIMITS,
        "The slots are released, and others may take them, even while the holders continue.",
        "free",
        _release_global,
        is_deletion=True,
    ),
)


def _pause_backfill(row: Any, submission: Submission) -> str:
    pause_backfill(backfill_id=row.pk, now=submission.now)
    return ""


def _resume_backfill(row: Any, submission: Submission) -> str:
    resume_backfill(backfill_id=row.pk, now=submission.now)
    return ""


def _cancel_backfill(row: Any, submission: Submission) -> str:
    cancel_backfill(backfill_id=row.pk, now=submission.now, author=submission.author)
    return ""


ON_BACKFILLS = (
    Command("pause", "Pause", Action.CHANGE_BACKFILLS, "They make no runs until resumed.", "paused", _pause_backfill),
    Command("resume", "Resume", Action.CHANGE_BACKFILLS, "They make runs again.", "no longer paused", _resume_backfill),
    Command(
        "cancel",
        "Cancel",
        Action.CHANGE_BACKFILLS,
        "They create no more runs, and their open runs are cancelled.",
        "cancelled",
        _cancel_backfill,
    ),
)
