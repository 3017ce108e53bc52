"""Actions on the object whose page is open: links and forms that its page also has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from django.db.models import Model, QuerySet
from django.urls import Resolver404, resolve, reverse

from deployments.models import (
    Backfill,
    BlockDocument,
    ConcurrencyLimit,
    Deployment,
    GlobalLimit,
    Worker,
    WorkPool,
    WorkQueue,
)
from deployments.pages.selectors.agents import condition_of
from events.models import Automation
from orchestration.core.states import TERMINAL, StateType
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, may, who_asks
from orion_site.search.finding import Found
from runs.inputs.selectors import Pause, pause_of
from runs.models import Flow, FlowRun, TaskRun

# The page of a flow has actions on all its deployments; further ones are found by their names.
DEPLOYMENTS_OFFERED = 5
M = TypeVar("M", bound=Model)


class OfPage(NamedTuple, Generic[M]):
    """The right to read a page, the rows of which it shows one, and what returns the actions on that row."""

    right: Action
    rows: QuerySet[M]
    actions: Callable[[M], list[Found]]


def actions_at(address: str) -> Sequence[Found]:
    """Return the actions on the object whose page has this address, for those who may read it; none elsewhere."""
    try:
        match = resolve(urlsplit(address).path)
    except (Resolver404, ValueError):
        return []
    page = OF_PAGES.get(match.view_name)
    if page is None or not may(who_asks(), page.right):
        return []
    [object_id] = match.kwargs.values()
    row = page.rows.filter(pk=object_id).first()
    return [] if row is None else page.actions(row)


def _of_run(run: FlowRun) -> list[Found]:
    found = []
    if pause := pause_of(run):
        found.append(_resuming(run.pk, pause))
    if run.state_type not in TERMINAL and run.state_type != StateType.CANCELLING:
        found.append(_action("Cancel this run", "runs:cancel", run.pk, "cancelled"))
    if run.deployment_id is not None and run.state_type in TERMINAL - {StateType.CANCELLED}:
        found.append(_action("Retry this run", "runs:retry", run.pk, "retry"))
    if run.deployment_id is not None:
        again = "Run with other parameters…"
        found.append(_link(again, "deployments:run-with", run.deployment_id, "running", copy=run.pk))
    if run.state_type in TERMINAL:
        found.append(_link("Retry this run from a task…", "runs:retry-from", run.pk, "retry"))
    question = "The run, its task runs and their history will be gone. This cannot be undone."
    found.append(_action("Delete this run", "runs:delete", run.pk, "failed", question))
    return found


def _of_task_run(run: TaskRun) -> list[Found]:
    return [_link("Retry from here…", "runs:retry-from", run.flow_run_id, "retry", **{"from": run.pk})]


def _resuming(run_id: UUID, pause: Pause) -> Found:
    # Named, so that a list that stayed open does not resume the next pause.
    if pause.wanted is None:
        return _action("Resume this run", "runs:resume", run_id, "running", pause=pause.state_id)
    return _link("Answer and resume this run…", "runs:resume", run_id, "running", pause=pause.state_id)


def _of_flow(flow: Flow) -> list[Found]:
    """Return the actions on the first deployments of the flow, by name, and the lists of all that belongs to it."""
    found = []
    deployments = Deployment.objects.filter(flow=flow).only("name", "paused").order_by("name")
    for one in deployments[:DEPLOYMENTS_OFFERED]:
        found += [
            _action(f"Run {one.name} now", "deployments:run-now", one.pk, "running"),
            _link(f"Run {one.name} with other parameters…", "deployments:run-with", one.pk, "running"),
            _switch(one.name, one.paused, one.pk),
        ]
    return [
        *found,
        _list("Runs of this flow", "runs:runs", "nav-runs", flow=flow.name),
        _list("Failed runs of this flow", "runs:runs", "failed", flow=flow.name, state="failed,crashed"),
        _list("Deployments of this flow", "deployments:deployments", "nav-deployments", flow=flow.name),
    ]


def _of_deployment(one: Deployment) -> list[Found]:
    question = "The deployment, its schedules and its planned runs will be gone. Runs that have started stay."
    return [
        _action("Run this deployment now", "deployments:run-now", one.pk, "running"),
        _link("Run with other parameters…", "deployments:run-with", one.pk, "running"),
        _switch("this deployment", one.paused, one.pk),
        _link("Backfill this deployment…", "deployments:new-backfill", one.pk, "nav-schedule"),
        _link("Change this deployment", "deployments:edit-deployment", one.pk, "nav-admin"),
        _link("Duplicate this deployment", "deployments:duplicate", one.pk, "nav-deployments"),
        _action("Delete this deployment", "deployments:delete", one.pk, "failed", question),
    ]


def _of_backfill(one: Backfill) -> list[Found]:
    if one.status not in {Backfill.Status.ACTIVE, Backfill.Status.PAUSED}:
        return []
    question = "No further runs are made, and those that have not ended are cancelled. It cannot be resumed."
    return [
        _switch("this backfill", one.status == Backfill.Status.PAUSED, one.pk, "-backfill"),
        _action("Cancel this backfill", "deployments:cancel-backfill", one.pk, "cancelled", question),
    ]


def _of_pool(one: WorkPool) -> list[Found]:
    question = "The pool and its queues will be gone. A pool that deployments or unfinished runs use stays."
    return [
        _switch("this pool", one.is_paused, one.pk, "-pool"),
        _link("New queue in this pool", "deployments:new-queue", one.pk, "nav-work"),
        _action("Delete this pool", "deployments:delete-pool", one.pk, "failed", question),
    ]


def _of_queue(one: WorkQueue) -> list[Found]:
    question = "A queue that deployments or unfinished runs use stays, and so does a pool's default queue."
    return [
        _switch("this queue", one.is_paused, one.pk, "-queue"),
        _link("Edit this queue", "deployments:edit-queue", one.pk, "nav-admin"),
        _action("Delete this queue", "deployments:delete-queue", one.pk, "failed", question),
    ]


def _of_agent(one: Worker) -> list[Found]:
    if condition_of(one, current_time()) not in {"silent", "left"}:
        return []
    question = "It is taken off the list. If it is started again it is listed again."
    return [_action("Remove this agent", "deployments:forget-agent", one.pk, "failed", question)]


def _of_tag_limit(one: ConcurrencyLimit) -> list[Found]:
    free = "Every slot becomes free although its holder may still run."
    gone = "Task runs with this tag run without limit from then on."
    return [
        _link("Edit this limit", "deployments:edit-tag-limit", one.pk, "nav-admin"),
        _action("Free all slots of this limit", "deployments:reset-tag-limit", one.pk, "nav-limits", free),
        _action("Delete this limit", "deployments:delete-tag-limit", one.pk, "failed", gone),
    ]


def _of_global_limit(one: GlobalLimit) -> list[Found]:
    free = "Every slot becomes free although its holder may still use it."
    gone = "Flows that name it are limited no longer."
    return [
        _link("Edit this limit", "deployments:edit-global-limit", one.pk, "nav-admin"),
        _action("Free all slots of this limit", "deployments:reset-global-limit", one.pk, "nav-limits", free),
        _action("Delete this limit", "deployments:remove-global-limit", one.pk, "failed", gone),
    ]


def _of_block(one: BlockDocument) -> list[Found]:
    question = "Flows and notifications that use it fail from then on. This cannot be undone."
    return [
        _link("Edit this block", "deployments:edit-block", one.pk, "nav-admin"),
        _action("Delete this block", "deployments:delete-block", one.pk, "failed", question),
    ]


def _of_automation(one: Automation) -> list[Found]:
    question = "It acts no longer, and what it did is forgotten."
    verb = ("Disable", "disable", "paused") if one.enabled else ("Enable", "enable", "running")
    return [
        _action(f"{verb[0]} this automation", f"events:{verb[1]}-automation", one.pk, verb[2]),
        _action("Test this automation", "events:test-automation", one.pk, "running"),
        _link("Edit this automation", "events:edit-automation", one.pk, "nav-admin"),
        _action("Delete this automation", "events:delete-automation", one.pk, "failed", question),
    ]


OF_PAGES: dict[str, OfPage[Any]] = {
    "runs:run": OfPage(Action.READ_RUNS, FlowRun.objects.only("state_type", "state_id", "deployment_id"), _of_run),
    "runs:task-run": OfPage(
        Action.READ_RUNS, TaskRun.objects.filter(flow_run__state_type__in=TERMINAL).only("flow_run_id"), _of_task_run
    ),
    "runs:flow": OfPage(Action.READ_RUNS, Flow.objects.only("name"), _of_flow),
    "deployments:deployment": OfPage(Action.READ_DEPLOYMENTS, Deployment.objects.only("paused"), _of_deployment),
    "deployments:backfill": OfPage(Action.READ_DEPLOYMENTS, Backfill.objects.only("status"), _of_backfill),
    "deployments:edit-pool": OfPage(Action.READ_QUEUES, WorkPool.objects.only("is_paused"), _of_pool),
    "deployments:queue": OfPage(Action.READ_QUEUES, WorkQueue.objects.only("is_paused"), _of_queue),
    "deployments:agent": OfPage(Action.READ_QUEUES, Worker.objects.all(), _of_agent),
    "deployments:tag-limit": OfPage(Action.READ_LIMITS, ConcurrencyLimit.objects.only("pk"), _of_tag_limit),
    "deployments:global-limit": OfPage(Action.READ_LIMITS, GlobalLimit.objects.only("pk"), _of_global_limit),
    "deployments:block": OfPage(
        Action.READ_BLOCKS, BlockDocument.objects.filter(is_anonymous=False).only("pk"), _of_block
    ),
    "events:automation": OfPage(Action.READ_AUTOMATIONS, Automation.objects.only("enabled"), _of_automation),
}


def _switch(words: str, is_paused: bool, id: UUID, kind: str = "") -> Found:
    """Return the action that resumes or pauses an object; `kind` ends the names of both addresses."""
    if is_paused:
        return _action(f"Resume {words}", f"deployments:resume{kind}", id, "running")
    return _action(f"Pause {words}", f"deployments:pause{kind}", id, "paused")


def _link(words: str, name: str, id: UUID | None, icon: str, **query: object) -> Found:
    return Found("Action", words, _address(name, id, **query), icon)


def _list(words: str, name: str, icon: str, **query: str) -> Found:
    return Found("Action", words, _address(name, **query), icon)


def _action(words: str, name: str, id: UUID, icon: str, question: str = "", **query: object) -> Found:
    return Found("Action", words, _address(name, id, **query), icon, is_action=True, question=question)


def _address(name: str, *ids: UUID | None, **query: object) -> str:
    address = reverse(name, args=ids)
    return f"{address}?{urlencode(query)}" if query else address
