"""Actions on the object whose page is open: links and forms that its page also has."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit
from uuid import UUID

from django.urls import Resolver404, resolve, reverse

from deployments.models import Deployment
from orchestration.core.states import TERMINAL, StateType
from orion_site.search.finding import Found
from runs.inputs.selectors import Pause, pause_of
from runs.models import FlowRun


def actions_at(address: str) -> Sequence[Found]:
    """Return the actions for the run or deployment at this address; none for other pages."""
    try:
        match = resolve(urlsplit(address).path)
    except (Resolver404, ValueError):
        return []
    match match.view_name:
        case "runs:run":
            return _of_run(match.kwargs["run_id"])
        case "deployments:deployment":
            return _of_deployment(match.kwargs["deployment_id"])
    return []


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
    return found


def _resuming(run_id: UUID, pause: Pause) -> Found:
    if pause.wanted is None:
        return _action("Resume this run", "runs:resume", run_id, "running")
    return Found("Action", "Answer and resume this run…", reverse("runs:resume", args=[run_id]), "running")


def _of_deployment(deployment_id: UUID) -> list[Found]:
    one = Deployment.objects.only("paused").filter(pk=deployment_id).first()
    if one is None:
        return []
    pause = ("Resume", "deployments:resume", "running") if one.paused else ("Pause", "deployments:pause", "paused")
    return [
        _action("Run this deployment now", "deployments:run-now", deployment_id, "running"),
        Found("Action", "Run with other parameters…", reverse("deployments:run-with", args=[deployment_id]), "running"),
        _action(f"{pause[0]} this deployment", pause[1], deployment_id, pause[2]),
        Found(
            "Action",
            "Change this deployment",
            reverse("deployments:edit-deployment", args=[deployment_id]),
            "nav-admin",
        ),
    ]


def _action(words: str, name: str, id: UUID, icon: str) -> Found:
    return Found("Action", words, reverse(name, args=[id]), icon, is_action=True)
