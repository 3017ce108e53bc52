"""The list of all task runs."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.database.replica import may_lag
from orion_site.live.pages import is_shown, live_page, rows_held
from runs.pages.filtering import (
    STATE_CHOICES,
    RequestedFilter,
    address_after,
    address_with,
    read_filter,
    since_choices,
    without,
)
from runs.pages.query_box import STANDING_ALONE, TERMS, without_terms
from runs.pages.saved_views import begins_with_default, views_above
from runs.pages.search import address_of_id
from runs.pages.selectors.keyset import Cursor
from runs.pages.selectors.list_rows import counts_of_task_runs
from runs.pages.selectors.runs import PAGE_SIZE
from runs.pages.selectors.task_runs import task_runs_page
from runs.pages.selectors.without import task_runs_without
from runs.pages.view_counts import with_counts

# Only flow runs are planned or wait for their time.
CHOICES = [(value, words) for value, words in STATE_CHOICES if value not in STANDING_ALONE]


def _ignored_parts(requested: RequestedFilter) -> Iterator[str]:
    """Yield a sentence about each part of the filter that only flow runs have."""
    for name in ("error", "problem", "queue", "deployment"):
        if requested.values[name]:
            yield f"Task runs cannot be found by {name}."
    for state in STANDING_ALONE:
        if getattr(requested.wanted, state):
            yield f"Only flow runs can be {state}."


@requires(Action.READ_RUNS)
@may_lag
@begins_with_default("task-runs")
@live_page
def task_runs(request: HttpRequest) -> HttpResponse:
    if address := address_of_id(without_terms(request.GET.get("q", ""))):
        return redirect(address)
    requested, now = read_filter(request.GET), current_time()
    requested.problems.extend(_ignored_parts(requested))
    after, size = Cursor.read(request.GET.get("after", "")), PAGE_SIZE + rows_held(request)
    found = task_runs_page(wanted=requested.wanted, after=after, now=now, size=size)
    views = views_above(request, "task-runs")
    if is_shown(request, "views"):
        views = with_counts(views, counts_of_task_runs, now)
    is_empty = not found.page.rows and after is None
    context = {
        "section": "runs",
        "views": views,
        "without": without(requested, task_runs_without, views.everything, now) if is_empty else [],
        "requested": requested,
        "found": found,
        "state_choices": CHOICES,
        "terms": TERMS,
        "since_choices": since_choices(requested.values["since"]),
        "kept": {"until": requested.values["until"]} if requested.values["until"] else {},
        "is_first": "after" not in request.GET,
        "first": address_with(request.GET),
        "next": address_after(request.GET, found.page.after),
    }
    return TemplateResponse(request, "runs/task_runs.html", context)
