"""Pages to change a deployment, and to copy it under another name."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from deployments.definitions.core.hydration import BadTemplate
from deployments.definitions.services.deployments import COLUMNS, create_deployment, update_deployment
from deployments.models import Deployment, Schedule, WorkPool
from deployments.pages.deployment_forms import DeploymentForm, DuplicateForm
from deployments.pages.selectors.deployment import deployment_to_edit, pool_names, schedules_to_come
from deployments.schedules.selectors import calendar_names
from deployments.schedules.services.schedules import NewSchedule
from orchestration.database_clock import current_time
from orchestration.errors import DomainError
from orion_site.accounts.permissions import Action, requires
from orion_site.forms.editing import editing
from orion_site.forms.submitting import saved

CHANGEABLE = tuple(name for name in DeploymentForm.base_fields if name in COLUMNS)


class BadParameters(DomainError):
    message = "{reason}"


@requires(Action.CHANGE_DEPLOYMENTS)
def edit_deployment(request: HttpRequest, deployment_id: UUID) -> HttpResponse:
    one = _deployment(deployment_id)
    pool, queue = _waits_in(one)
    initial = {name: getattr(one, name) for name in CHANGEABLE} | {"work_pool": pool, "work_queue": queue}
    pools = list(dict.fromkeys([pool, *pool_names()]))
    form = editing(DeploymentForm(request.POST or None, initial=initial, pools=pools))
    if saved(form, lambda values: _change(one, form, values)):
        return redirect("deployments:deployment", deployment_id)
    return _page(request, one, form, f"Change {one.flow.name}/{one.name}", "Save")


@requires(Action.CHANGE_DEPLOYMENTS)
def duplicate_deployment(request: HttpRequest, deployment_id: UUID) -> HttpResponse:
    one = _deployment(deployment_id)
    form = DuplicateForm(request.POST or None, initial={"name": f"{one.name}-copy", "paused": True}, taken_by=one)
    made: list[Deployment] = []
    if saved(form, lambda values: made.append(_copy(one, values, current_time()))):
        return redirect("deployments:deployment", made[0].pk)
    return _page(request, one, form, f"Duplicate {one.flow.name}/{one.name}", "Duplicate")


def _page(
    request: HttpRequest, one: Deployment, form: DeploymentForm | DuplicateForm, title: str, submit: str
) -> HttpResponse:
    context = {
        "section": "deployments",
        "form": form,
        "title": title,
        "submit": submit,
        "back": (reverse("deployments:deployment", args=[one.pk]), f"{one.flow.name}/{one.name}"),
    }
    return render(request, "forms/form.html", context, status=422 if form.errors else 200)


def _change(one: Deployment, form: DeploymentForm, values: dict[str, Any]) -> None:
    moves = {"work_pool", "work_queue"} & set(form.changed_data)
    try:
        update_deployment(
            deployment_id=one.pk,
            changes={name: values[name] for name in CHANGEABLE if name in form.changed_data},
            pool_name=values["work_pool"] if moves else None,
            queue_name=values["work_queue"] if moves else None,
            now=current_time(),
        )
    except BadTemplate as error:
        raise BadParameters(reason=str(error)) from error


def _copy(one: Deployment, values: dict[str, Any], now: datetime) -> Deployment:
    pool, queue = _waits_in(one)
    try:
        made, _ = create_deployment(
            flow_id=one.flow_id,
            name=values["name"],
            columns={name: getattr(one, name) for name in COLUMNS} | {"paused": values["paused"]},
            schedules=[_like(schedule) for schedule in schedules_to_come(deployment_id=one.pk, now=now)],
            pool_name=pool,
            queue_name=queue,
            now=now,
        )
    except BadTemplate as error:
        raise BadParameters(reason=str(error)) from error
    return made


def _like(schedule: Schedule) -> NewSchedule:
    return NewSchedule(
        definition=schedule.definition,
        active=schedule.active,
        parameters=schedule.parameters,
        max_active_runs=schedule.max_active_runs,
        max_scheduled_runs=schedule.max_scheduled_runs,
        max_runs=schedule.max_runs,
        ends_at=schedule.ends_at,
        misfire=schedule.misfire,
        misfire_window=schedule.misfire_window,
        calendars=calendar_names(schedule),
    )


def _waits_in(one: Deployment) -> tuple[str, str]:
    """Return the names of the pool and the queue in which its runs wait."""
    queue = one.work_queue
    pool = queue.work_pool.name if queue and queue.work_pool else WorkPool.DEFAULT_NAME
    return pool, queue.name if queue else one.work_queue_name or "default"


def _deployment(deployment_id: UUID) -> Deployment:
    one = deployment_to_edit(deployment_id=deployment_id)
    if one is None:
        raise Http404
    return one
