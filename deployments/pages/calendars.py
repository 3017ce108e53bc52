"""Calendars: upload, show with next events and schedules, change and delete them."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments.models import Calendar
from deployments.pages.schedule_forms import IcsFileField, IcsTextField
from deployments.pages.selectors.calendars import CalendarPage, calendar_page, calendars_page
from deployments.schedules.services.calendars import (
    create_calendar,
    delete_calendar,
    delete_calendar_with_uses,
    update_calendar,
)
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.forms.editing import editing
from orion_site.forms.fields import ChangeableNameField, StoredTextField
from orion_site.forms.submitting import attempt, saved
from orionflow.contract.names import quoted
from runs.pages.filtering import address_after, address_without


class CalendarForm(forms.Form):
    name = ChangeableNameField(help_text="Schedules name it.")
    description = StoredTextField(required=False, max_length=10_000, help_text="What it is for.")
    file = IcsFileField(help_text="An .ics file, as calendar programs export it; nothing is started during its events.")
    ics = IcsTextField(rows=8)


@requires(Action.READ_DEPLOYMENTS)
def calendars(request: HttpRequest) -> HttpResponse:
    found = calendars_page(after=request.GET.get("after", ""), now=current_time())
    context = {
        "section": "schedule",
        "found": found,
        "is_first": "after" not in request.GET,
        "first": address_without(request.GET),
        "next": address_after(request.GET, found.after),
    }
    return render(request, "deployments/calendars.html", context)


@requires(Action.READ_DEPLOYMENTS)
def calendar(request: HttpRequest, calendar_id: UUID) -> HttpResponse:
    return render(request, "deployments/calendar.html", {"section": "schedule", "found": _found(calendar_id)})


@requires(Action.CHANGE_DEPLOYMENTS)
def new_calendar(request: HttpRequest) -> HttpResponse:
    form = _form(request, {})
    made: list[Calendar] = []
    if saved(form, lambda values: made.append(_create(values))):
        return redirect("deployments:calendar", made[0].pk)
    back = (reverse("deployments:calendars"), "Calendars")
    return _page(request, form, "New calendar", "Create calendar", back)


@requires(Action.CHANGE_DEPLOYMENTS)
def edit_calendar(request: HttpRequest, calendar_id: UUID) -> HttpResponse:
    one = _found(calendar_id).line.calendar
    form = editing(_form(request, {"name": one.name, "description": one.description, "ics": one.ics}))
    if saved(form, lambda values: _change(one, values)):
        return redirect("deployments:calendar", calendar_id)
    back = (reverse("deployments:calendar", args=[calendar_id]), one.name)
    return _page(request, form, f"Calendar {one.name}", "Save", back)


@requires(Action.CHANGE_DEPLOYMENTS)
@require_POST
def remove_calendar(request: HttpRequest, calendar_id: UUID) -> HttpResponse:
    """Delete the calendar and, if the form says so, remove it from the schedules that use it."""
    name = _found(calendar_id).line.calendar.name
    act, done = partial(delete_calendar, calendar_id=calendar_id), f"Calendar {quoted(name)} was deleted."
    if request.POST.get("uses") == "too":
        act = partial(delete_calendar_with_uses, calendar_id=calendar_id, now=current_time())
        done = f"Calendar {quoted(name)} was deleted. Its schedules plan the times that it left out."
    if attempt(request, act, done=done):
        return redirect("deployments:calendars")
    return redirect("deployments:calendar", calendar_id)


def _create(values: dict[str, Any]) -> Calendar:
    columns = {name: values[name] for name in ("name", "description", "ics")}
    return create_calendar(**columns, now=current_time())


def _change(one: Calendar, values: dict[str, Any]) -> None:
    changes = {name: values[name] for name in ("name", "description", "ics") if values[name] != getattr(one, name)}
    update_calendar(calendar_id=one.pk, changes=changes, now=current_time())


def _form(request: HttpRequest, initial: dict[str, Any]) -> CalendarForm:
    if request.method != "POST":
        return CalendarForm(initial=initial)
    sent = request.POST.copy()
    if uploaded := request.FILES.get("file"):
        # Put the file into the text field, so that an invalid form keeps it.
        sent["ics"] = uploaded.read().decode("utf-8-sig", errors="replace")
        sent["name"] = sent.get("name") or str(uploaded.name).removesuffix(".ics")
    return CalendarForm(sent, initial=initial)


def _page(request: HttpRequest, form: CalendarForm, title: str, submit: str, back: tuple[str, str]) -> HttpResponse:
    context = {"section": "schedule", "form": form, "title": title, "submit": submit, "back": back, "uploads": True}
    return render(request, "forms/form.html", context, status=422 if form.errors else 200)


def _found(calendar_id: UUID) -> CalendarPage:
    found = calendar_page(calendar_id=calendar_id, now=current_time())
    if found is None:
        raise Http404
    return found
