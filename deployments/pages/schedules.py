"""Schedules of a deployment: create, change, switch and delete them. Next times are shown before saving."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments.definitions.core.hydration import BadTemplate
from deployments.errors import BadSchedule
from deployments.models import Deployment, Schedule
from deployments.pages.schedule_forms import FORMS, ScheduleForm, initial_of, kind_of
from deployments.pages.selectors.deployment import (
    Draft,
    calendars_to_choose,
    deployment_to_schedule,
    drafted,
    schedule_to_edit,
    words_of,
)
from deployments.schedules.selectors import calendar_names
from deployments.schedules.services.schedules import NewSchedule, add_schedules, delete_schedule, update_schedule
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.forms.editing import Beside, editing
from orion_site.forms.making import making, new_id_of
from orion_site.forms.submitting import attempt, errors_in_words, saved


@requires(Action.CHANGE_DEPLOYMENTS)
def new_schedule(request: HttpRequest, deployment_id: UUID) -> HttpResponse:
    deployment = _deployment(deployment_id)
    form = making(_form(request, _asked_kind(request) or "cron"))
    if _is_saving(request) and saved(form, lambda values: _add(deployment_id, values, new_id_of(form))):
        return redirect(_schedules_of(deployment_id))
    return _page(request, deployment, form, "New schedule", "Add schedule")


@requires(Action.CHANGE_DEPLOYMENTS)
def edit_schedule(request: HttpRequest, deployment_id: UUID, schedule_id: UUID) -> HttpResponse:
    deployment = _deployment(deployment_id)
    schedule = schedule_to_edit(deployment_id=deployment_id, schedule_id=schedule_id)
    if schedule is None:
        raise Http404
    kind = _asked_kind(request) or kind_of(schedule)
    initial = initial_of(schedule, calendar_names(schedule))
    form = _noticing(_form(request, kind, initial), schedule)
    if _is_saving(request) and saved(form, lambda values: _change(schedule, values)):
        return redirect(_schedules_of(deployment_id))
    return _page(request, deployment, form, "Change schedule", "Save")


@requires(Action.CHANGE_DEPLOYMENTS)
@require_POST
def pause_schedule(request: HttpRequest, deployment_id: UUID, schedule_id: UUID) -> HttpResponse:
    return _switch(request, deployment_id, schedule_id, active=False, done="The schedule is off: it plans nothing.")


@requires(Action.CHANGE_DEPLOYMENTS)
@require_POST
def resume_schedule(request: HttpRequest, deployment_id: UUID, schedule_id: UUID) -> HttpResponse:
    return _switch(request, deployment_id, schedule_id, active=True, done="The schedule is on: it plans runs again.")


@requires(Action.CHANGE_DEPLOYMENTS)
@require_POST
def remove_schedule(request: HttpRequest, deployment_id: UUID, schedule_id: UUID) -> HttpResponse:
    attempt(
        request,
        lambda: delete_schedule(deployment_id=deployment_id, schedule_id=schedule_id, now=current_time()),
        done="The schedule was deleted, with the runs that it had planned.",
    )
    return redirect(_schedules_of(deployment_id))


def _switch(request: HttpRequest, deployment_id: UUID, schedule_id: UUID, *, active: bool, done: str) -> HttpResponse:
    attempt(
        request,
        lambda: update_schedule(
            deployment_id=deployment_id, schedule_id=schedule_id, changes={"active": active}, now=current_time()
        ),
        done=done,
    )
    return redirect(_schedules_of(deployment_id))


def _noticing(form: ScheduleForm, schedule: Schedule) -> ScheduleForm:
    """Make the form notice other times, which it replaces unseen if they are of another kind."""
    if form.kind == kind_of(schedule):
        return editing(form, beside={"times": Beside(None)})
    times = Beside(schedule.definition, f"its times to “{words_of(schedule.definition)}”")
    return editing(form, beside={"times": times}, apart=form.fields.keys() - ScheduleForm.base_fields.keys())


def _asked_kind(request: HttpRequest) -> str | None:
    # The form sends its own kind, because that of the schedule may be another one by now.
    asked = request.POST.get("kind") or request.GET.get("kind", "")
    return asked if asked in FORMS else None


def _is_saving(request: HttpRequest) -> bool:
    return request.method == "POST" and request.POST.get("do") != "preview"


def _form(request: HttpRequest, kind: str, initial: dict[str, Any] | None = None) -> ScheduleForm:
    names, now = calendars_to_choose(), current_time()
    if request.method != "POST":
        return FORMS[kind](initial=initial, calendar_names=names, now=now)
    sent = request.POST.copy()
    if uploaded := request.FILES.get("file"):
        # Put the file into the text field, so that a preview keeps it.
        sent["ics"] = uploaded.read().decode(errors="replace")
    return FORMS[kind](sent, initial=initial, calendar_names=names, now=now)


def _page(request: HttpRequest, deployment: Deployment, form: ScheduleForm, title: str, submit: str) -> HttpResponse:
    draft = _draft(form)
    if request.headers.get("HX-Request"):
        return render(request, "deployments/_preview.html", {"draft": draft})
    context = {
        "section": "deployments",
        "one": deployment,
        "form": form,
        "kinds": {kind: form.label for kind, form in FORMS.items()},
        "title": title,
        "submit": submit,
        "draft": draft,
        "back": _schedules_of(deployment.pk),
    }
    has_failed = _is_saving(request)
    return render(request, "deployments/schedule.html", context, status=422 if has_failed else 200)


def _draft(form: ScheduleForm) -> Draft | None:
    """Return the next times of the form's schedule; None before it is filled in."""
    if form.is_bound:
        if not form.is_valid():
            return Draft("", [], errors_in_words(form))
        values = form.cleaned_data
    elif not form.initial:
        return None
    else:
        stored = type(form)(
            {name: form.get_initial_for_field(one, name) for name, one in form.fields.items()},
            initial=form.initial,
            calendar_names=form.initial.get("calendars", []),
            now=form.now,
        )
        if not stored.is_valid():
            return None
        values = stored.cleaned_data
    return drafted(values["definition"], calendars=values.get("calendars", []), ends_at=values["ends_at"], now=form.now)


def _add(deployment_id: UUID, values: dict[str, Any], id: UUID) -> None:
    new = NewSchedule(
        definition=values["definition"],
        active=values["active"],
        parameters=values["parameters"],
        max_runs=values["max_runs"],
        ends_at=values["ends_at"],
        misfire=values["misfire"],
        calendars=values.get("calendars", []),
        id=id,
    )
    try:
        add_schedules(deployment_id=deployment_id, new=[new], now=current_time())
    except BadTemplate as error:
        raise BadSchedule(reason=str(error)) from error


def _change(schedule: Schedule, values: dict[str, Any]) -> None:
    columns = ("definition", "active", "parameters", "max_runs", "ends_at", "misfire")
    try:
        update_schedule(
            deployment_id=schedule.deployment_id,
            schedule_id=schedule.pk,
            changes={name: values[name] for name in columns},
            calendars=values.get("calendars"),
            now=current_time(),
        )
    except BadTemplate as error:
        raise BadSchedule(reason=str(error)) from error


def _deployment(deployment_id: UUID) -> Deployment:
    deployment = deployment_to_schedule(deployment_id=deployment_id)
    if deployment is None:
        raise Http404
    return deployment


def _schedules_of(deployment_id: UUID) -> str:
    return reverse("deployments:deployment", args=[deployment_id]) + "?tab=schedules"
