"""The feed of events, and one event with everything that it says."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from events.pages.links import named
from events.pages.selectors.events import EventWish, event_with_cause, events_page
from orion_site.accounts.permissions import Action, requires
from runs.pages.filtering import SINCE_CHOICES, address_after, address_without, read_since
from runs.pages.saved_views import views_above
from runs.pages.selectors.keyset import Cursor


@requires(Action.READ_EVENTS)
def events(request: HttpRequest) -> HttpResponse:
    values = {name: request.GET.get(name, "").strip() for name in ("event", "resource", "since")}
    problems: list[str] = []
    wanted = EventWish(values["event"], values["resource"], read_since(values["since"], problems))
    found = events_page(wanted=wanted, after=Cursor.read(request.GET.get("after", "")), now=timezone.now())
    context = {
        "section": "events",
        "views": views_above(request, "events"),
        "found": found,
        "values": values,
        "problems": problems,
        "since_choices": SINCE_CHOICES,
        "is_filtered": any(values.values()),
        "is_first": "after" not in request.GET,
        "first": address_without(request.GET),
        "next": address_after(request.GET, found.page.after),
    }
    return render(request, "events/events.html", context)


@requires(Action.READ_EVENTS)
def event(request: HttpRequest, event_id: UUID) -> HttpResponse:
    found = event_with_cause(event_id)
    if found is None:
        raise Http404
    context = {
        "section": "events",
        "event": found[0],
        "cause": found[1],
        "resource": named(found[0].resource),
        "related": [named(labels) for labels in found[0].related],
    }
    return render(request, "events/event.html", context)
