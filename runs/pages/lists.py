"""The list of flow runs, the list of flows, and one flow's page."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from orion_site.accounts.permissions import Action, requires
from orion_site.live.pages import live_page, rows_held
from runs.pages.charts import trend_of
from runs.pages.filtering import SINCE_CHOICES, STATE_CHOICES, address_after, address_with, read_filter
from runs.pages.selectors.flows import RUNS_PER_PAGE, flow_page, flows_page
from runs.pages.selectors.keyset import Cursor
from runs.pages.selectors.runs import PAGE_SIZE, runs_page


@requires(Action.READ_RUNS)
@live_page
def runs(request: HttpRequest) -> HttpResponse:
    asked = read_filter(request.GET)
    after = Cursor.read(request.GET.get("after", ""))
    size = PAGE_SIZE + rows_held(request)
    found = runs_page(wanted=asked.wanted, after=after, now=timezone.now(), size=size)
    context = {
        "section": "runs",
        "asked": asked,
        "found": found,
        "state_choices": STATE_CHOICES,
        "since_choices": SINCE_CHOICES,
        "is_first": "after" not in request.GET,
        "next": address_after(request.GET, found.page.after),
        "planned": address_with(request.GET, state="scheduled"),
    }
    return TemplateResponse(request, "runs/runs.html", context)


@requires(Action.READ_RUNS)
@live_page
def flows(request: HttpRequest) -> HttpResponse:
    name = request.GET.get("q", "").strip()
    found = flows_page(name=name, after=request.GET.get("after", ""), now=timezone.now())
    context = {
        "section": "flows",
        "found": found,
        "name": name,
        "is_first": "after" not in request.GET,
        "next": address_after(request.GET, found.after),
    }
    return TemplateResponse(request, "runs/flows.html", context)


@requires(Action.READ_RUNS)
@live_page
def flow(request: HttpRequest, flow_id: UUID) -> HttpResponse:
    after = Cursor.read(request.GET.get("after", ""))
    size = RUNS_PER_PAGE + rows_held(request)
    found = flow_page(flow_id=flow_id, after=after, now=timezone.now(), size=size)
    if found is None:
        raise Http404
    context = {
        "section": "flows",
        "found": found,
        "trend": trend_of(found.trend),
        "is_first": "after" not in request.GET,
        "next": address_after(request.GET, found.page.after),
    }
    return TemplateResponse(request, "runs/flow.html", context)
