"""Limits on tags and global limits: their holders, and the actions of operators."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments.limits.services.global_limits import (
    create_global_limit,
    delete_global_limit,
    release_all_slots,
    update_global_limit,
)
from deployments.limits.services.held_slots import release_leases
from deployments.limits.services.limits import delete_limit, release_slot, reset_limit, set_limit
from deployments.pages.forms import GlobalLimitForm, NewTagLimitForm, TagLimitForm
from deployments.pages.meters import Meter
from deployments.pages.selectors.limits import (
    GlobalPage,
    TagPage,
    global_limit_page,
    limits_page,
    tag_limit_page,
)
from orchestration.database_clock import current_time, database_now
from orion_site.accounts.permissions import Action, requires
from orion_site.forms.editing import editing
from orion_site.forms.submitting import attempt, saved
from orion_site.live.pages import live_page
from orionflow.contract.names import quoted


@requires(Action.READ_LIMITS)
@live_page
def limits(request: HttpRequest) -> HttpResponse:
    found = limits_page(now=database_now())
    return TemplateResponse(request, "deployments/limits.html", {"section": "limits", "found": found})


@requires(Action.READ_LIMITS)
@live_page
def tag_limit(request: HttpRequest, limit_id: UUID) -> HttpResponse:
    found = _tag(limit_id)
    context = {"section": "limits", "found": found, "title": _title(found.limit.tag, found.meter)}
    return TemplateResponse(request, "deployments/tag_limit.html", context)


@requires(Action.READ_LIMITS)
@live_page
def global_limit(request: HttpRequest, limit_id: UUID) -> HttpResponse:
    found = _global(limit_id)
    limit = found.line.limit
    context = {"section": "limits", "found": found, "limit": limit, "title": _title(limit.name, found.line.meter)}
    return TemplateResponse(request, "deployments/global_limit.html", context)


def _title(name: str, meter: Meter) -> str:
    return f"{name} · {meter.taken} of {meter.limit} · Orion"


@requires(Action.CHANGE_LIMITS)
def new_tag_limit(request: HttpRequest) -> HttpResponse:
    form = NewTagLimitForm(request.POST or None)
    if saved(form, _set_limit):
        return redirect("deployments:limits")
    return _form(request, form, "New limit on a tag", "Create limit")


@requires(Action.CHANGE_LIMITS)
def edit_tag_limit(request: HttpRequest, limit_id: UUID) -> HttpResponse:
    limit = _tag(limit_id).limit
    initial = {"tag": limit.tag, "slots": limit.concurrency_limit}
    form = editing(TagLimitForm(request.POST or None, initial=initial))
    # The tag identifies the limit, so it cannot be changed.
    form.fields["tag"] = forms.CharField(disabled=True, strip=False, help_text=form.fields["tag"].help_text)
    if saved(form, _set_limit):
        return redirect("deployments:tag-limit", limit_id)
    return _form(request, form, f"Limit on tag {limit.tag}", "Save")


def _set_limit(values: dict[str, Any]) -> None:
    set_limit(tag=values["tag"], slots=values["slots"], now=current_time())


@requires(Action.CHANGE_LIMITS)
@require_POST
def release_tag_slot(request: HttpRequest, limit_id: UUID, task_run_id: UUID) -> HttpResponse:
    tag = _tag(limit_id).limit.tag
    attempt(request, lambda: release_slot(tag=tag, task_run_id=task_run_id), done="The slot is free.")
    return redirect("deployments:tag-limit", limit_id)


@requires(Action.CHANGE_LIMITS)
@require_POST
def reset_tag_limit(request: HttpRequest, limit_id: UUID) -> HttpResponse:
    tag = _tag(limit_id).limit.tag
    attempt(request, lambda: reset_limit(tag=tag, now=current_time()), done=f"All slots of tag {quoted(tag)} are free.")
    return redirect("deployments:tag-limit", limit_id)


@requires(Action.CHANGE_LIMITS)
@require_POST
def delete_tag_limit(request: HttpRequest, limit_id: UUID) -> HttpResponse:
    tag = _tag(limit_id).limit.tag
    attempt(request, lambda: delete_limit(tag=tag), done=f"Tag {quoted(tag)} is limited no longer.")
    return redirect("deployments:limits")


@requires(Action.CHANGE_LIMITS)
def new_global_limit(request: HttpRequest) -> HttpResponse:
    form = GlobalLimitForm(request.POST or None)
    if saved(form, lambda values: create_global_limit(columns=values, now=database_now())):
        return redirect("deployments:limits")
    return _form(request, form, "New global limit", "Create limit")


@requires(Action.CHANGE_LIMITS)
def edit_global_limit(request: HttpRequest, limit_id: UUID) -> HttpResponse:
    limit = _global(limit_id).line.limit
    initial = {name: getattr(limit, name) for name in GlobalLimitForm.base_fields}
    form = editing(GlobalLimitForm(request.POST or None, initial=initial))
    if saved(form, lambda values: update_global_limit(which=Q(pk=limit_id), changes=values, now=database_now())):
        return redirect("deployments:global-limit", limit_id)
    return _form(request, form, f"Global limit {limit.name}", "Save")


@requires(Action.CHANGE_LIMITS)
@require_POST
def release_global_slot(request: HttpRequest, limit_id: UUID, lease_id: UUID) -> HttpResponse:
    attempt(request, lambda: release_leases(ids=[lease_id], now=database_now()), done="The slots are free.")
    return redirect("deployments:global-limit", limit_id)


@requires(Action.CHANGE_LIMITS)
@require_POST
def reset_global_limit(request: HttpRequest, limit_id: UUID) -> HttpResponse:
    name = _global(limit_id).line.limit.name
    attempt(
        request,
        lambda: release_all_slots(limit_id=limit_id, now=database_now()),
        done=f"All slots of {quoted(name)} are free.",
    )
    return redirect("deployments:global-limit", limit_id)


@requires(Action.CHANGE_LIMITS)
@require_POST
def remove_global_limit(request: HttpRequest, limit_id: UUID) -> HttpResponse:
    name = _global(limit_id).line.limit.name
    attempt(
        request, lambda: delete_global_limit(which=Q(pk=limit_id)), done=f"Global limit {quoted(name)} was deleted."
    )
    return redirect("deployments:limits")


def _form(request: HttpRequest, form: forms.Form, title: str, submit: str) -> HttpResponse:
    back = (reverse("deployments:limits"), "Limits")
    context = {"section": "limits", "form": form, "title": title, "submit": submit, "back": back}
    return render(request, "forms/form.html", context)


def _tag(limit_id: UUID) -> TagPage:
    found = tag_limit_page(limit_id)
    if found is None:
        raise Http404
    return found


def _global(limit_id: UUID) -> GlobalPage:
    found = global_limit_page(limit_id, now=database_now())
    if found is None:
        raise Http404
    return found
