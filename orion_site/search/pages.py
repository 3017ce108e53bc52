"""`/search`: a page, or only its list for the command palette (`?part=list`)."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.search.actions import actions_at
from orion_site.search.finding import RUNS_LOOKED_AT, found_by
from runs.pages.search import address_of_id

LONGEST = 2_000


@requires(Action.READ_RUNS)
def search(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").strip()[:LONGEST]
    is_part = request.GET.get("part") == "list"
    if not is_part and (address := address_of_id(text)):
        return redirect(address)
    at = request.GET.get("from", "")
    actions = [one for one in actions_at(at) if text.lower() in one.words.lower()]
    found = [*actions, *found_by(text, now=current_time())]
    # The last line always leads to the list of runs.
    context = {"found": found, "text": text, "at": at, "has_no_hit": bool(text) and len(found) == 1}
    context["runs_searched"] = f"{RUNS_LOOKED_AT:,}"
    return TemplateResponse(request, "search/_options.html" if is_part else "search/search.html", context)
