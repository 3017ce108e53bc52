"""The list of flow runs and the list of flows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from deployments.archive.place import is_configured
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.database.replica import may_lag
from orion_site.live.pages import is_shown, live_page, rows_held
from runs.pages.charts import plot_of
from runs.pages.columns import Columns, address_in_short, read_columns
from runs.pages.filtering import (
    PARTS,
    STATE_CHIPS,
    STATE_CHOICES,
    USUAL_CHIPS,
    RequestedFilter,
    address_after,
    address_in_state,
    address_with,
    address_without,
    read_filter,
    since_choices,
    without,
)
from runs.pages.query_box import TERMS, with_states, without_terms
from runs.pages.saved_views import Views, begins_with_default, views_above
from runs.pages.search import address_of_id
from runs.pages.selectors.failures import LOOKED_AT
from runs.pages.selectors.flows import flows_page
from runs.pages.selectors.keyset import Count, Cursor
from runs.pages.selectors.list_rows import MOST_IN_A_FILE, counts_of_runs, deployment_names, unsearched_from
from runs.pages.selectors.runs import PAGE_SIZE, counts_of, runs_page
from runs.pages.selectors.without import runs_without
from runs.pages.view_counts import with_counts

# Parts of the filter that only links set; the form does not show them.
KEPT = ("until", "error", "problem", "queue", "deployment", "id")


@dataclass(frozen=True, slots=True)
class StateChoice:
    """A choice of states, its address, and the number of runs that it would list."""

    words: str
    state_type: str
    state_name: str
    count: Count | None
    address: str
    is_chosen: bool


def state_choices(requested: RequestedFilter, query: QueryDict, now: datetime) -> list[StateChoice]:
    """Return the choices above the list; those without runs are left out, except the usual ones."""
    others = requested.wanted.in_any_state()
    wanted = [with_states(others, value, []) for value, *_ in STATE_CHIPS]
    choices = []
    counts = counts_of(others, wanted, now)
    for (value, words, *look), one, count in zip(STATE_CHIPS, wanted, counts, strict=True):
        is_chosen = one == requested.wanted
        if is_chosen or value in USUAL_CHIPS or (count and count.number):
            address = address_in_state(query, "" if is_chosen else value)
            choices.append(StateChoice(words, look[0], look[1], count, address, is_chosen))
    return choices


def all_runs(views: Views, columns: Columns) -> str:
    """Return the address of the list without a filter, with the columns that are shown."""
    if not columns.text:
        return views.everything
    return f"{views.address}?{urlencode(columns.kept)}"


def files_of(query: QueryDict) -> list[tuple[str, str]]:
    """Return labels and addresses of the list as a file, from its first page on."""
    return [
        (words, reverse(f"runs:runs-{kind}") + address_without(query, "view"))
        for words, kind in (("CSV", "csv"), ("JSON lines", "jsonl"))
    ]


@requires(Action.READ_RUNS)
@may_lag
@begins_with_default("runs")
@live_page
def runs(request: HttpRequest) -> HttpResponse:
    if address := address_of_id(without_terms(request.GET.get("q", ""))):
        return redirect(address)
    columns = read_columns(request.GET)
    if short := address_in_short(request.GET, columns):
        return redirect(request.path + short)
    requested, now = read_filter(request.GET), current_time()
    after = Cursor.read(request.GET.get("after", ""))
    size = PAGE_SIZE + rows_held(request)
    found = runs_page(wanted=requested.wanted, after=after, now=now, size=size, further=columns.reads)
    views = views_above(request, "runs")
    if is_shown(request, "views"):
        views = with_counts(views, counts_of_runs, now)
    everything = all_runs(views, columns)
    is_empty = not found.page.rows and after is None
    context = {
        "section": "runs",
        "without": without(requested, runs_without, everything, now) if is_empty else [],
        "everything": everything,
        "columns": columns,
        "deployments": deployment_names(found.page.rows) if "deployment" in columns.names else {},
        "files": [] if requested.problems or columns.problem else files_of(request.GET),
        "most_in_a_file": f"{MOST_IN_A_FILE:,}",
        "has_archive": is_configured(),
        "views": views,
        "requested": requested,
        "found": found,
        "plot": plot_of(found.page.rows, now),
        "state_choices": STATE_CHOICES,
        "terms": TERMS,
        "since_choices": since_choices(requested.values["since"]),
        "is_first": "after" not in request.GET,
        "unsearched_from": unsearched_from(requested.wanted, now),
        "failures_read": LOOKED_AT,
        "next": address_after(request.GET, found.page.after),
        "planned": address_in_state(request.GET, "planned"),
        "choices": state_choices(requested, request.GET, now),
        "first": address_with(request.GET),
        "query": address_without(request.GET, "columns"),
        "only_shown": f"?{urlencode({'id': ','.join(str(run.pk) for run in found.page.rows)})}",
        "kept": {name: requested.values[name] for name in KEPT if requested.values[name]} | columns.kept,
        "filter": [(name, value) for name in PARTS for value in request.GET.getlist(name) if value],
    }
    return TemplateResponse(request, "runs/runs.html", context)


@requires(Action.READ_RUNS)
@may_lag
@begins_with_default("flows")
@live_page
def flows(request: HttpRequest) -> HttpResponse:
    name = request.GET.get("q", "").strip()
    found = flows_page(name=name, after=request.GET.get("after", ""), now=current_time())
    context = {
        "section": "flows",
        "views": views_above(request, "flows"),
        "found": found,
        "name": name,
        "is_first": "after" not in request.GET,
        "first": address_without(request.GET),
        "next": address_after(request.GET, found.after),
    }
    return TemplateResponse(request, "runs/flows.html", context)
