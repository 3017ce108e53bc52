"""Saved views above a list: those that everybody has, and those that were saved, to be renamed and deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from orion_site.accounts.permissions import Action, requires
from orion_site.forms.submitting import attempt
from runs.saved_searches.saved_views import View, rename_view, same_query, save_view, views_of
from runs.saved_searches.services import delete_saved_search

LISTS = {"runs": "runs:runs", "deployments": "deployments:deployments", "events": "events:events"}
BUILT_IN: Mapping[str, Sequence[tuple[str, str]]] = {
    "runs": [
        ("Failing today", "state=failed,crashed&since=-24h"),
        ("Late", "state=late"),
        ("Long running", "state=running&q=dur>1h"),
    ],
    "deployments": [("Failing", "show=failing"), ("Late", "show=late"), ("Paused", "show=paused")],
    "events": [("Failed runs", "event=prefect.flow-run.Failed"), ("Settings", "event=orion.setting.")],
}


@dataclass(frozen=True, slots=True)
class Views:
    """The views above one list, and which of them is shown."""

    list_name: str
    address: str
    query: str
    all: Sequence[View]
    # The saved view that is shown.
    shown: View | None

    @property
    def can_save(self) -> bool:
        return bool(self.query) and self.query not in {view.query for view in self.all}


def views_above(request: HttpRequest, list_name: str) -> Views:
    built_in = [View(None, name, same_query(query)) for name, query in BUILT_IN[list_name]]
    saved = views_of(list_name)
    # Fields of a form that are empty narrow nothing.
    query = same_query(request.GET.urlencode())
    shown = next((view for view in saved if view.query == query), None)
    return Views(list_name, reverse(LISTS[list_name]), query, [*built_in, *saved], shown)


class NameForm(forms.Form):
    """The name of a view, and of which query it is."""

    name = forms.CharField(max_length=100)
    query = forms.CharField(max_length=4_000, required=False)


@requires(Action.CHANGE_RUNS)
@require_POST
def save(request: HttpRequest, list_name: str) -> HttpResponse:
    if list_name not in LISTS:
        raise Http404
    form = NameForm(request.POST)
    query = same_query(str(form.data.get("query", ""))[:4_000])
    if form.is_valid():
        values: dict[str, Any] = form.cleaned_data

        def act() -> None:
            save_view(list_name=list_name, name=values["name"], query=values["query"], now=timezone.now())

        attempt(request, act, done=f"The view {values['name']} is saved.")
    else:
        messages.error(request, "Give the view a name of at most 100 characters.")
    return redirect(_address(list_name, query if "\x00" not in query else ""))


@requires(Action.CHANGE_RUNS)
@require_POST
def rename(request: HttpRequest, list_name: str, search_id: UUID) -> HttpResponse:
    view = _view(list_name, search_id)
    form = NameForm(request.POST)
    if form.is_valid():
        name = form.cleaned_data["name"]
        attempt(
            request,
            lambda: rename_view(search_id=search_id, name=name, now=timezone.now()),
            done=f"The view is called {name} now.",
        )
    else:
        messages.error(request, "Give the view a name of at most 100 characters.")
    return redirect(_address(list_name, view.query))


@requires(Action.CHANGE_RUNS)
@require_POST
def delete(request: HttpRequest, list_name: str, search_id: UUID) -> HttpResponse:
    view = _view(list_name, search_id)
    attempt(request, lambda: delete_saved_search(search_id=search_id), done=f"The view {view.name} was deleted.")
    return redirect(_address(list_name, view.query))


def _view(list_name: str, search_id: UUID) -> View:
    if list_name in LISTS:
        for view in views_of(list_name):
            if view.id == search_id:
                return view
    raise Http404


def _address(list_name: str, query: str) -> str:
    return f"{reverse(LISTS[list_name])}?{query}" if query else reverse(LISTS[list_name])
