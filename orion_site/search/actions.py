"""Actions on the object whose page is open: links and forms that its page also has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlencode, urlsplit
from uuid import UUID

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


def actions_at(address: str) -> Sequence[Found]:
    """Return the actions on the object whose page has this address, for those who may read it; none elsewhere."""
    try:
        match = resolve(urlsplit(address).path)
    except (Resolver404, ValueError):
        return []
    found = OF_PAGES.get(match.view_name)
    if found is None or not may(who_asks(), found[0]):
        return []
    return found[1](*match.kwargs.values())


def _of_run(run_id: UUID) -> list[Found]:
    run = FlowRun.objects.only("state_type", "state_id", "deployment_id").filter(pk=run_id).first()
    if run is None:
        return []
    found = []
    if pause := pause_of(run):
        found.append(_resuming(run_id, pause))
    if run.state_type not in TERMINAL and run.state_type != StateType.CANCELLING:
        found.append(_action("Cancel this run", "runs:cancel", run_id, "cancelled"))
    if run.deployment_id is not None and run.state_type in TERMINAL - {StateType.CANCELLED}:
        found.append(_action("Retry this run", "runs:retry", run_id, "retry"))
    if run.deployment_id is not None:
        again = f"{reverse('deployments:run-with', args=[run.deployment_id])}?copy={run_id}"
        found.append(Found("Action", "Run with other parameters…", again, "running"))
    if run.state_type in TERMINAL:
        found.append(_link("Retry this run from a task…", "runs:retry-from", run_id, "retry"))
    question = "The run, its task runs and their history will be gone. This cannot be undone."
    found.append(_action("Delete this run", "runs:delete", run_id, "failed", question))
    return found


def _of_task_run(run_id: UUID) -> list[Found]:
    run = TaskRun.objects.filter(pk=run_id, flow_run__state_type__in=TERMINAL).only("flow_run_id").first()
    if run is None:
        return []
    address = f"{reverse('runs:retry-from', args=[run.flow_run_id])}?from={run_id}"
    return [Found("Action", "Retry from here…", address, "retry")]


def _resuming(run_id: UUID, pause: Pause) -> Found:
    # Named, so that a list that stayed open does not resume the next pause.
    address = f"{reverse('runs:resume', args=[run_id])}?pause={pause.state_id}"
    if pause.wanted is None:
        return Found("Action", "Resume this run", address, "running", is_action=True)
    return Found("Action", "Answer and resume this run…", address, "running")


def _of_flow(flow_id: UUID) -> list[Found]:
    """Return the actions on the first deployments of the flow, by name, and the lists of all that belongs to it."""
    flow = Flow.objects.only("name").filter(pk=flow_id).first()
    if flow is None:
        return []
    found = []
    deployments = Deployment.objects.filter(flow=flow_id).only("name", "paused").order_by("name")
    for one in deployments[:DEPLOYMENTS_OFFERED]:
        pause = ("Resume", "deployments:resume", "running") if one.paused else ("Pause", "deployments:pause", "paused")
        found += [
            _action(f"Run {one.name} now", "deployments:run-now", one.pk, "running"),
            _link(f"Run {one.name} with other parameters…", "deployments:run-with", one.pk, "running"),
            _action(f"{pause[0]} {one.name}", pause[1], one.pk, pause[2]),
        ]
    return [
        *found,
        _list("Runs of this flow", "runs:runs", "nav-runs", flow=flow.name),
        _list("Failed runs of this flow", "runs:runs", "failed", flow=flow.name, state="failed,crashed"),
        _list("Deployments of this flow", "deployments:deployments", "nav-deployments", flow=flow.name),
    ]


def _of_deployment(deployment_id: UUID) -> list[Found]:
    one = Deployment.objects.only("paused").filter(pk=deployment_id).first()
    if one is None:
        return []
    pause = ("Resume", "deployments:resume", "running") if one.paused else ("Pause", "deployments:pause", "paused")
    return [
        _action("Run this deployment now", "deployments:run-now", deployment_id, "running"),
        Found("Action", "Run with other parameters…", reverse("deployments:run-with", args=[deployment_id]), "running"),
        _action(f"{pause[0]} this deployment", pause[1], deployment_id, pause[2]),
        _link("Backfill this deployment…", "deployments:new-backfill", deployment_id, "nav-schedule"),
        _link("Change this deployment", "deployments:edit-deployment", deployment_id, "nav-admin"),
        _link("Duplicate this deployment", "deployments:duplicate", deployment_id, "nav-deployments"),
        _action(
            "Delete this deployment",
            "deployments:delete",
            deployment_id,
            "failed",
            "The deployment, its schedules and its planned runs will be gone. Runs that have started stay.",
        ),
    ]


def _of_backfill(backfill_id: UUID) -> list[Found]:
    one = Backfill.objects.only("status").filter(pk=backfill_id).first()
    if one is None or one.status not in {Backfill.Status.ACTIVE, Backfill.Status.PAUSED}:
        return []
    question = "No further runs are made, and those that have not ended are cancelled. It cannot be resumed."
    return [
        _switch("this backfill", one.status == Backfill.Status.PAUSED, "backfill", backfill_id),
        _action("Cancel this backfill", "deployments:cancel-backfill", backfill_id, "cancelled", question),
    ]


def _of_pool(pool_id: UUID) -> list[Found]:
    one = WorkPool.objects.only("is_paused").filter(pk=pool_id).first()
    if one is None:
        return []
    question = "The pool and its queues will be gone. A pool that deployments or unfinished runs use stays."
    return [
        _switch("this pool", one.is_paused, "pool", pool_id),
        _link("New queue in this pool", "deployments:new-queue", pool_id, "nav-work"),
        _action("Delete this pool", "deployments:delete-pool", pool_id, "failed", question),
    ]


def _of_queue(queue_id: UUID) -> list[Found]:
    one = WorkQueue.objects.only("is_paused").filter(pk=queue_id).first()
    if one is None:
        return []
    question = "A queue that deployments or unfinished runs use stays, and so does a pool's default queue."
    return [
        _switch("this queue", one.is_paused, "queue", queue_id),
        _link("Edit this queue", "deployments:edit-queue", queue_id, "nav-admin"),
        _action("Delete this queue", "deployments:delete-queue", queue_id, "failed", question),
    ]


def _of_agent(agent_id: UUID) -> list[Found]:
    one = Worker.objects.filter(pk=agent_id).first()
    if one is None or condition_of(one, current_time()) not in {"silent", "left"}:
        return []
    question = "It is taken off the list. If it is started again it is listed again."
    return [_action("Remove this agent", "deployments:forget-agent", agent_id, "failed", question)]


def _of_tag_limit(limit_id: UUID) -> list[Found]:
    if not ConcurrencyLimit.objects.filter(pk=limit_id).exists():
        return []
    free = "Every slot becomes free although its holder may still run."
    gone = "Task runs with this tag run without limit from then on."
    return [
        _link("Edit this limit", "deployments:edit-tag-limit", limit_id, "nav-admin"),
        _action("Free all slots of this limit", "deployments:reset-tag-limit", limit_id, "nav-limits", free),
        _action("Delete this limit", "deployments:delete-tag-limit", limit_id, "failed", gone),
    ]


def _of_global_limit(limit_id: UUID) -> list[Found]:
    if not GlobalLimit.objects.filter(pk=limit_id).exists():
        return []
    free = "Every slot becomes free although its holder may still use it."
    gone = "Flows that name it are limited no longer."
    return [
        _link("Edit this limit", "deployments:edit-global-limit", limit_id, "nav-admin"),
        _action("Free all slots of this limit", "deployments:reset-global-limit", limit_id, "nav-limits", free),
        _action("Delete this limit", "deployments:remove-global-limit", limit_id, "failed", gone),
    ]


def _of_block(block_id: UUID) -> list[Found]:
    if not BlockDocument.objects.filter(pk=block_id, is_anonymous=False).exists():
        return []
    question = "Flows and notifications that use it fail from then on. This cannot be undone."
    return [
        _link("Edit this block", "deployments:edit-block", block_id, "nav-admin"),
        _action("Delete this block", "deployments:delete-block", block_id, "failed", question),
    ]


def _of_automation(automation_id: UUID) -> list[Found]:
    one = Automation.objects.only("enabled").filter(pk=automation_id).first()
    if one is None:
        return []
    verb = ("Disable", "disable", "paused") if one.enabled else ("Enable", "enable", "running")
    return [
        _action(f"{verb[0]} this automation", f"events:{verb[1]}-automation", automation_id, verb[2]),
        _action("Test this automation", "events:test-automation", automation_id, "running"),
        _link("Edit this automation", "events:edit-automation", automation_id, "nav-admin"),
        _action(
            "Delete this automation",
            "events:delete-automation",
            automation_id,
            "failed",
            "It acts no longer, and what it did is forgotten.",
        ),
    ]


# The right to read each page, and what returns the actions on its object.
OF_PAGES: dict[str, tuple[Action, Callable[[UUID], list[Found]]]] = {
    "runs:run": (Action.READ_RUNS, _of_run),
    "runs:task-run": (Action.READ_RUNS, _of_task_run),
    "runs:flow": (Action.READ_RUNS, _of_flow),
    "deployments:deployment": (Action.READ_DEPLOYMENTS, _of_deployment),
    "deployments:backfill": (Action.READ_DEPLOYMENTS, _of_backfill),
    "deployments:edit-pool": (Action.READ_QUEUES, _of_pool),
    "deployments:queue": (Action.READ_QUEUES, _of_queue),
    "deployments:agent": (Action.READ_QUEUES, _of_agent),
    "deployments:tag-limit": (Action.READ_LIMITS, _of_tag_limit),
    "deployments:global-limit": (Action.READ_LIMITS, _of_global_limit),
    "deployments:block": (Action.READ_BLOCKS, _of_block),
    "events:automation": (Action.READ_AUTOMATIONS, _of_automation),
}


def _switch(words: str, is_paused: bool, kind: str, id: UUID) -> Found:
    if is_paused:
        return _action(f"Resume {words}", f"deployments:resume-{kind}", id, "running")
    return _action(f"Pause {words}", f"deployments:pause-{kind}", id, "paused")


def _link(words: str, name: str, id: UUID, icon: str) -> Found:
    return Found("Action", words, reverse(name, args=[id]), icon)


def _list(words: str, name: str, icon: str, **query: str) -> Found:
    return Found("Action", words, f"{reverse(name)}?{urlencode(query)}", icon)


def _action(words: str, name: str, id: UUID, icon: str, question: str = "") -> Found:
    return Found("Action", words, reverse(name, args=[id]), icon, is_action=True, question=question)
