"""Pages of artifacts: the newest by key, and one artifact with its history."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from orion_site.accounts.permissions import Action, requires
from orion_site.database.replica import may_lag
from runs.pages.filtering import address_after, address_without
from runs.pages.saved_views import begins_with_default, views_above
from runs.pages.selectors.artifacts import artifact_page, artifacts_page
from runs.pages.selectors.keyset import Cursor


@requires(Action.READ_RUNS)
@may_lag
@begins_with_default("artifacts")
def artifacts(request: HttpRequest) -> HttpResponse:
    key = request.GET.get("q", "").strip()
    found = artifacts_page(key=key, after=request.GET.get("after", ""))
    context = {
        "section": "artifacts",
        "views": views_above(request, "artifacts"),
        "found": found,
        "key": key,
        "is_first": "after" not in request.GET,
        "first": address_without(request.GET),
        "next": address_after(request.GET, found.after),
    }
    return render(request, "runs/artifacts.html", context)


@requires(Action.READ_RUNS)
def artifact(request: HttpRequest, artifact_id: UUID) -> HttpResponse:
    found = artifact_page(artifact_id=artifact_id, after=Cursor.read(request.GET.get("after", "")))
    if found is None:
        raise Http404
    context = {
        "section": "artifacts",
        "found": found,
        "is_first": "after" not in request.GET,
        "first": address_without(request.GET),
        "next": address_after(request.GET, found.history.after),
    }
    return render(request, "runs/artifact.html", context)
