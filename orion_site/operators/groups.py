"""The index of the admin, which groups models by what operators do with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from deployments.models import Deployment, GlobalSlot, Lease, Slot, WorkQueue
from events.models import Notification
from orchestration.core.states import StateType
from runs.models import FlowRun
from runs.pages.selectors.keyset import Count, capped_counts

COUNTED_TO = 1_000


@dataclass(frozen=True, slots=True)
class Counted:
    """A number of rows that operators look for, with the list that shows them."""

    words: str
    model: str
    query: str = ""
    icon: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Lists for the same kind of work, with the purpose of each."""

    key: str
    name: str
    purpose: str
    lists: dict[str, str] = field(default_factory=dict)
    counted: dict[Counted, QuerySet[Any]] = field(default_factory=dict)


def _of_state(state_type: StateType, words: str) -> tuple[Counted, QuerySet[Any]]:
    address = f"state_type__exact={state_type.value}"
    return Counted(words, "runs.FlowRun", address, state_type.value.lower()), FlowRun.objects.in_state(state_type)


SYSTEM = "system"
GROUPS: Sequence[Group] = (
    Group(
        "runs",
        "Runs",
        "Cancel, retry or resume runs, force a state, and read what runs did.",
        {
            "runs.FlowRun": "One call of a flow each",
            "runs.TaskRun": "One call of a task each",
            "runs.Flow": "The functions that were decorated",
            "runs.FlowRunState": "Every state of every flow run",
            "runs.TaskRunState": "States of task runs that say more than usual; the others are shown with their run",
            "runs.Log": "What runs wrote",
            "runs.Artifact": "Tables, texts and links that runs made",
            "runs.ArtifactCollection": "The newest artifact of each key",
            "runs.CacheEntry": "Results that other runs may reuse",
            "runs.FlowRunInput": "Values sent to runs while they run",
            "runs.SavedSearch": "Filters that users saved under a name",
            "runs.DefaultView": "The views with which lists open for users",
            "runs.Problem": "Failures with the same cause",
            "runs.Occurrence": "Which run failed by which problem, and when",
            "runs.RunRetry": "Retries of runs from some of their tasks",
            "runs.Environment": "The Python, packages and code of runs",
            "runs.BulkAction": "Commands for many runs at once",
            "runs.BulkRun": "The runs of bulk actions, with their outcomes",
            "runs.HeldCall": "Calls of tasks that a connected process has taken and not started",
            "runs.RollUp": "How many runs there are, by time and state",
            "runs.RollUpChange": "Changes that are not yet added to the roll ups",
            "runs.Conversion": "How far rows of earlier versions are converted",
        },
        dict(
            (
                _of_state(StateType.RUNNING, "running"),
                _of_state(StateType.PENDING, "pending"),
                _of_state(StateType.SCHEDULED, "scheduled"),
                _of_state(StateType.PAUSED, "paused"),
                _of_state(StateType.CANCELLING, "cancelling"),
            )
        ),
    ),
    Group(
        "deployments",
        "Deployments",
        "Pause and resume deployments, run them now, see what is planned and what flows look up by name.",
        {
            "deployments.Deployment": "Flows that may be run from here",
            "deployments.Schedule": "When their runs are planned",
            "deployments.Backfill": "Past periods that are run afterwards",
            "deployments.BackfillTime": "The times of backfills, with their runs",
            "deployments.Deadline": "When runs must have started or finished",
            "deployments.SkippedTime": "Planned times that users deleted",
            "deployments.Calendar": "Days on which nothing starts",
            "deployments.Variable": "Values that flows read by name",
            "deployments.BlockDocument": "Settings and secrets of flows",
            "deployments.BlockType": "Kinds of blocks",
            "deployments.BlockSchema": "Versions of the kinds of blocks",
            "deployments.BlockReference": "Blocks within blocks",
        },
        {Counted("paused", "deployments.Deployment", "paused__exact=1"): Deployment.objects.filter(paused=True)},
    ),
    Group(
        "work",
        "Work",
        "Stop queues and pools, end the attempt of an agent that is gone, forget agents.",
        {
            "deployments.WorkPool": "Where runs are executed",
            "deployments.WorkQueue": "Where runs wait for an agent",
            "deployments.Worker": "Agents and workers that take runs",
            "deployments.Lease": "Which agent executes which run",
            "deployments.FormerQueue": "Deleted queues that were in use",
        },
        {
            Counted("runs held by agents", "deployments.Lease"): Lease.objects.all(),
            Counted("queues paused", "deployments.WorkQueue", "is_paused__exact=1"): WorkQueue.objects.filter(
                is_paused=True
            ),
        },
    ),
    Group(
        "limits",
        "Limits",
        "Change limits, and release slots that are not returned.",
        {
            "deployments.ConcurrencyLimit": "How many task runs with a tag may run",
            "deployments.Slot": "Who holds a slot of a tag",
            "deployments.GlobalLimit": "Slots that programs take by name",
            "deployments.GlobalSlot": "Who holds slots of a global limit",
        },
        {
            Counted("slots of tags held", "deployments.Slot"): Slot.objects.all(),
            Counted("holders of global slots", "deployments.GlobalSlot"): GlobalSlot.objects.all(),
        },
    ),
    Group(
        "events",
        "Events",
        "See what was recorded, what automations did about it, and which messages were not sent.",
        {
            "events.Event": "What was recorded, newest first",
            "events.Automation": "What to do when certain events occur",
            "events.ActionRun": "Actions of automations, with their outcomes",
            "events.TriggerState": "What automations are counting",
            "events.NotificationPolicy": "Which states are reported, and where",
            "events.Notification": "Messages, and whether they were sent",
            "events.RecordedStatus": "The last status of queues, pools and deployments",
        },
        {
            Counted("messages not sent", "events.Notification", "standing__exact=WAITING"): Notification.objects.filter(
                standing="WAITING"
            ),
        },
    ),
    Group(
        SYSTEM,
        "System",
        "Watch the services, delete what is old, and see who did what here.",
        {
            "deployments.ServiceRecord": "The last tick of each service",
            "deployments.ChangedSetting": "Settings that were changed while servers ran",
            "audit.Entry": "Who did what, through every entrance",
            "audit.Day": "How many entries each day has",
            "admin.LogEntry": "Who changed what in the admin",
            "django_celery_beat.PeriodicTask": "Ticks of services under Celery",
            "django_celery_beat.IntervalSchedule": "Intervals of those ticks",
            "django_celery_beat.CrontabSchedule": "Cron times of those ticks",
            "django_celery_beat.ClockedSchedule": "Single times of those ticks",
            "django_celery_beat.SolarSchedule": "Solar times of those ticks",
        },
    ),
)
# Names of models that would be unclear among the models of other apps.
NAMES = {"audit.Entry": "Audit entries", "audit.Day": "Audit days", "admin.LogEntry": "Changes in the admin"}
GROUP_OF = {label: group for group in GROUPS for label in group.lists}


def group_of(options: Any) -> Group:
    """Return the group of a model; the default is the last one, for the system."""
    return GROUP_OF.get(options.label, GROUPS[-1])


def grouped(apps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Convert Django's list of apps with models to groups with lists."""
    models = {one["model"]._meta.label: one for app in apps for one in app["models"]}
    index, found = reverse("admin:index"), []
    for group in GROUPS:
        known = {label: purpose for label, purpose in group.lists.items() if label in models}
        if group.key == SYSTEM:
            known |= dict.fromkeys([label for label in models if label not in GROUP_OF], "")
        if known:
            lists = [
                models[label] | {"name": NAMES.get(label, models[label]["name"]), "purpose": purpose}
                for label, purpose in known.items()
            ]
            found.append(
                {
                    "name": group.name,
                    "app_label": group.key,
                    "app_url": f"{index}#{group.key}",
                    "has_module_perms": True,
                    "purpose": group.purpose,
                    "models": lists,
                }
            )
    return found


@dataclass(frozen=True, slots=True)
class Number:
    """A count with the address of its list."""

    words: str
    count: Count
    address: str
    icon: str


def numbers() -> dict[str, list[Number]]:
    """Return the counts that operators check first, by group: one statement, and each count has a cap."""
    asked = [(group.key, one, rows) for group in GROUPS for one, rows in group.counted.items()]
    counts = capped_counts([rows.all() for _, _, rows in asked], COUNTED_TO)
    found: dict[str, list[Number]] = {}
    for (key, one, _), count in zip(asked, counts, strict=True):
        app, model = one.model.lower().split(".")
        address = reverse(f"admin:{app}_{model}_changelist") + (f"?{one.query}" if one.query else "")
        found.setdefault(key, []).append(Number(one.words, count, address, one.icon))
    return found
