"""Saved views above a list: built-in ones, and those that users saved, rename and delete."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, ClassVar, TypeVar, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.forms.submitting import attempt
from orion_site.preferences.middleware import preferences_of
from orion_site.preferences.reader import write_preferences
from runs.pages.selectors.keyset import Count
from runs.saved_searches.defaults import default_of_user, keep_default
from runs.saved_searches.saved_views import (
    LONGEST_QUERY,
    MOST,
    MOST_FIELDS,
    View,
    change_view,
    opens_a_list,
    same_query,
    save_view,
    view_of,
    view_with,
    views_of,
)
from runs.saved_searches.services import delete_saved_search

V = TypeVar("V", bound=Callable[..., Any])
LISTS = {
    "runs": "runs:runs",
    "task-runs": "runs:task-runs",
    "flows": "runs:flows",
    "deployments": "deployments:deployments",
    "events": "events:events",
    "automations": "events:automations",
    "notifications": "events:notifications",
    "blocks": "deployments:blocks",
    "artifacts": "runs:artifacts",
}
# Who sees a view: values and labels.
VISIBILITIES = (("team", "Everyone"), ("me", "Only me"))
# The query that shows a list without its default view.
EVERYTHING = "?view=all"
BUILT_IN: Mapping[str, Sequence[tuple[str, str]]] = {
    "runs": [
        ("Failing today", "state=failed,crashed&since=-24h"),
        ("Late", "state=late"),
        ("Long running", "state=running&q=dur>1h"),
    ],
    "task-runs": [
        ("Failing today", "state=failed,crashed&since=-24h"),
        ("Running", "state=running"),
    ],
    "deployments": [("Failing", "show=failing"), ("Late", "show=late"), ("Paused", "show=paused")],
    "events": [("Failed runs", "event=prefect.flow-run.Failed"), ("Settings", "event=orion.setting.")],
    "notifications": [("Not delivered", "standing=GIVEN_UP")],
}


@dataclass(frozen=True, slots=True)
class Views:
    """The views above one list, and which of them is shown."""

    list_name: str
    address: str
    query: str
    all: Sequence[View]
    # How many saved views are shown, if there are more.
    cut_at: int | None
    # `shown` is a saved view, which can be changed; `chosen` any view.
    shown: View | None
    chosen: View | None
    default: View | None
    # How many rows some of the views list, by the keys of these.
    counts: Mapping[str, Count] = field(default_factory=dict)
    visibilities: ClassVar = VISIBILITIES

    @property
    def can_save(self) -> bool:
        return bool(self.query) and self.query not in {view.query for view in self.all}

    @property
    def everything(self) -> str:
        return self.address + (EVERYTHING if self.default else "")


def views_above(request: HttpRequest, list_name: str) -> Views:
    built_in = _built_in(list_name)
    saved, is_cut = views_of(list_name)
    every = [*built_in, *saved]
    # Empty fields of the form are not part of the filter.
    query = same_query(request.GET.urlencode())
    chosen = next((view for view in every if view.query == query), None)
    key = _default_key(request, list_name)
    default = next((view for view in every if view.key == key), None)
    if is_cut:
        # The chosen view and the default one are shown wherever their names are in the order.
        chosen = chosen or (view_with(list_name, query) if query else None)
        default = default or _with_key(list_name, key)
        every += sorted({one for one in (chosen, default) if one and one not in every}, key=lambda one: one.name)
    shown = chosen if chosen and chosen.id else None
    cut_at = MOST if is_cut else None
    return Views(list_name, reverse(LISTS[list_name]), query, every, cut_at, shown, chosen, default)


def _built_in(list_name: str) -> list[View]:
    return [View(None, name, same_query(query)) for name, query in BUILT_IN.get(list_name, ())]


def _default_key(request: HttpRequest, list_name: str) -> str | None:
    """Return the key of the view with which the list opens: the user's, or else that of this browser."""
    kept: dict[str, str | None] | None = getattr(request, "_default_views", None)
    if kept is None:
        kept = request._default_views = {}  # type: ignore[attr-defined]
    if list_name not in kept:
        # A page asks twice: whether to open the view, and to mark it.
        kept[list_name] = default_of_user(list_name) or preferences_of(request).default_views.get(list_name)
    return kept[list_name]


def _with_key(list_name: str, key: str | None) -> View | None:
    built_in = next((view for view in _built_in(list_name) if view.key == key), None)
    if built_in is not None or not key:
        return built_in
    try:
        return view_of(list_name, UUID(key))
    except ValueError:
        return None


def begins_with_default(list_name: str) -> Callable[[V], V]:
    """Open a list without a filter in the default view of the user or the browser. Put it below `@requires`."""

    def decorate(view: V) -> V:
        @wraps(view)
        def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if request.method == "GET" and not request.GET:
                default = _with_key(list_name, _default_key(request, list_name))
                # A view that a program stored may be without a filter, and so have the address of the list itself.
                if default is not None and default.query:
                    return redirect(_address(list_name, default.query))
            return view(request, *args, **kwargs)

        return cast(V, answered)

    return decorate


@requires(Action.READ_RUNS)
@require_POST
def make_default(request: HttpRequest, list_name: str) -> HttpResponse:
    """Store the default view of the list for the user; an empty field removes it.

    The owner of the server is no user: that default is stored in the browser.
    """
    if list_name not in LISTS:
        raise Http404
    chosen = _with_key(list_name, request.POST.get("key"))
    is_of_user = keep_default(list_name=list_name, key=chosen.key if chosen else None)
    before = preferences_of(request)
    others = {name: kept for name, kept in before.default_views.items() if name != list_name and name in LISTS}
    if chosen is not None:
        where = "for you, in every browser" if is_of_user else "in this browser"
        messages.success(request, f"This list begins with {chosen.name} {where}.")
        answer = redirect(_address(list_name, chosen.query))
        if not is_of_user:
            others[list_name] = chosen.key
    else:
        messages.success(request, "This list begins with everything again.")
        answer = redirect(reverse(LISTS[list_name]))
    if others != before.default_views:
        write_preferences(answer, replace(before, default_views=others))
    return answer


class ViewForm(forms.Form):
    """The name of a view, who sees it, and its query."""

    name = forms.CharField(max_length=100)
    # Left out by forms for views of others.
    visibility = forms.ChoiceField(choices=VISIBILITIES, required=False)
    query = forms.CharField(max_length=LONGEST_QUERY, required=False)

    def clean_query(self) -> str:
        query = same_query(self.cleaned_data["query"])
        if not opens_a_list(query):
            raise forms.ValidationError("It opens no list.")
        return query

    @property
    def mistake(self) -> str:
        if "visibility" in self.errors:
            return "A view is for everyone (team) or only for you (me)."
        if "query" in self.errors and "name" not in self.errors:
            return (
                f"This filter cannot be saved: it is longer than {LONGEST_QUERY:,} characters, has more than "
                f"{MOST_FIELDS} parts, or has control characters."
            )
        return "Give the view a name of at most 100 characters."


@requires(Action.CHANGE_RUNS)
@require_POST
def save(request: HttpRequest, list_name: str) -> HttpResponse:
    if list_name not in LISTS:
        raise Http404
    form = ViewForm(request.POST)
    query = same_query(str(form.data.get("query", ""))[:LONGEST_QUERY])
    if form.is_valid():
        name, visibility = form.cleaned_data["name"], form.cleaned_data["visibility"] or "team"

        def act() -> None:
            save_view(list_name=list_name, name=name, query=query, visibility=visibility, now=current_time())

        attempt(request, act, done=f"The view {name} is saved.")
    else:
        messages.error(request, form.mistake)
    return redirect(_address(list_name, query if opens_a_list(query) else ""))


@requires(Action.CHANGE_RUNS)
@require_POST
def rename(request: HttpRequest, list_name: str, search_id: UUID) -> HttpResponse:
    """Rename a view, and change who sees it."""
    view = _view(list_name, search_id)
    form = ViewForm(request.POST)
    if form.is_valid():
        name, visibility = form.cleaned_data["name"], form.cleaned_data["visibility"] or None

        def act() -> None:
            change_view(search_id=search_id, name=name, visibility=visibility, now=current_time())

        seen_by = {"team": " Everyone sees it.", "me": " Only its owner sees it."}.get(visibility or "", "")
        attempt(request, act, done=f"The view is called {name} now.{seen_by}")
    else:
        messages.error(request, form.mistake)
    return redirect(_address(list_name, view.query))


@requires(Action.CHANGE_RUNS)
@require_POST
def delete(request: HttpRequest, list_name: str, search_id: UUID) -> HttpResponse:
    view = _view(list_name, search_id)
    attempt(request, lambda: delete_saved_search(search_id=search_id), done=f"The view {view.name} was deleted.")
    return redirect(_address(list_name, view.query))


def _view(list_name: str, search_id: UUID) -> View:
    view = view_of(list_name, search_id) if list_name in LISTS else None
    if view is None:
        raise Http404
    return view


def _address(list_name: str, query: str) -> str:
    return f"{reverse(LISTS[list_name])}?{query}" if query else reverse(LISTS[list_name])
