"""Backfills: a form with a preview, and a page to follow and control each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.views.decorators.http import require_POST

from deployments.backfills.services.backfills import (
    cancel_backfill,
    create_backfill,
    pause_backfill,
    resume_backfill,
)
from deployments.backfills.services.planning import BackfillPlan, planned_backfill
from deployments.definitions.core.hydration import BadTemplate
from deployments.definitions.services.runs import is_own_queue
from deployments.errors import BadBackfill
from deployments.models import Backfill, Deployment
from deployments.pages.backfill_form import BackfillForm
from deployments.pages.selectors.backfills import (
    backfill_lines,
    backfill_page,
    deployment_to_backfill,
    schedules_to_follow,
)
from deployments.pages.selectors.deployment import calendars_to_choose
from orchestration.database_clock import current_time
from orchestration.errors import DomainError
from orion_site.accounts.permissions import Action, actor_of, may, requires, who_asks
from orion_site.forms.making import making
from orion_site.forms.submitting import attempt, errors_in_words, saved
from orion_site.live.pages import live_page
from runs.pages.filtering import address_after

TABS = {"runs": "Runs", "left": "To come"}


@dataclass(frozen=True, slots=True)
class Draft:
    """The plan of the form, or the problem with it."""

    plan: BackfillPlan | None
    problem: str = ""


@requires(Action.CHANGE_BACKFILLS)
def new_backfill(request: HttpRequest, deployment_id: UUID) -> HttpResponse:
    deployment = deployment_to_backfill(deployment_id=deployment_id)
    if deployment is None:
        raise Http404
    form = making(
        BackfillForm(
            request.POST or None,
            deployment=deployment,
            schedules=schedules_to_follow(deployment_id=deployment_id),
            calendars=calendars_to_choose(),
        )
    )
    is_saving = request.method == "POST" and request.POST.get("do") != "preview"
    made: list[Backfill] = []
    if is_saving and saved(form, lambda values: made.append(_create(deployment, form))):
        return redirect("deployments:backfill", made[0].pk)
    draft = _draft(deployment, form)
    if request.headers.get("HX-Request"):
        return render(request, "deployments/_backfill_preview.html", {"draft": draft, "one": deployment})
    context = {
        "section": "deployments",
        "one": deployment,
        "form": form,
        "draft": draft,
        "lines": backfill_lines(deployment_id=deployment_id),
        "is_overlapping": deployment.overlap == "allow",
    }
    return render(request, "deployments/backfill_form.html", context, status=422 if is_saving else 200)


def _create(deployment: Deployment, form: BackfillForm) -> Backfill:
    new_backfill = form.new_backfill()
    queue = new_backfill.work_queue_name
    if queue is not None and not is_own_queue(deployment, queue) and not may(who_asks(), Action.CUSTOMISE_RUNS):
        raise BadBackfill(reason="your role does not allow another queue: leave it empty.")
    try:
        return create_backfill(deployment_id=deployment.pk, new=new_backfill, now=current_time())
    except BadTemplate as error:
        raise BadBackfill(reason=str(error)) from error


def _draft(deployment: Deployment, form: BackfillForm) -> Draft | None:
    """Return the draft; None before the form is filled in."""
    if not form.is_bound:
        return None
    if not form.is_valid():
        return Draft(None, errors_in_words(form))
    try:
        return Draft(planned_backfill(deployment, form.new_backfill(), current_time()))
    except (BadTemplate, DomainError) as error:
        return Draft(None, str(error))


@requires(Action.READ_DEPLOYMENTS)
@live_page
def backfill(request: HttpRequest, backfill_id: UUID) -> HttpResponse:
    asked = request.GET.get("tab", "")
    tab = asked if asked in TABS else "runs"
    after = request.GET.get("after", "")
    number = int(after) if after.isascii() and after.isdigit() and len(after) < 10 else None
    found = backfill_page(backfill_id=backfill_id, left=tab == "left", after=number, now=current_time())
    if found is None:
        raise Http404
    context = {
        "section": "deployments",
        "found": found,
        "one": found.line.backfill,
        "deployment": found.line.backfill.deployment,
        "tags": [found.line.backfill.tag],
        "tab": tab,
        "tabs": TABS,
        "is_first": number is None,
        "first": f"?tab={tab}",
        "next": address_after(request.GET, found.after),
    }
    return TemplateResponse(request, "deployments/backfill.html", context)


@requires(Action.CHANGE_BACKFILLS)
@require_POST
def pause(request: HttpRequest, backfill_id: UUID) -> HttpResponse:
    return _steer(request, backfill_id, pause_backfill, "The backfill is paused: it makes no further runs.")


@requires(Action.CHANGE_BACKFILLS)
@require_POST
def resume(request: HttpRequest, backfill_id: UUID) -> HttpResponse:
    return _steer(request, backfill_id, resume_backfill, "The backfill makes runs again.")


@requires(Action.CHANGE_BACKFILLS)
@require_POST
def cancel(request: HttpRequest, backfill_id: UUID) -> HttpResponse:
    act = partial(cancel_backfill, author=actor_of(request).name)
    return _steer(request, backfill_id, act, "The backfill is cancelled, and its open runs are being cancelled.")


def _steer(request: HttpRequest, backfill_id: UUID, act: Callable[..., None], done: str) -> HttpResponse:
    attempt(request, lambda: act(backfill_id=backfill_id, now=current_time()), done=done)
    return redirect("deployments:backfill", backfill_id)
