"""The feed of events, and the page of one event."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from events.pages.links import named
from events.pages.selectors.events import PAGE_SIZE, EventCriteria, event_with_cause, events_page, labels_shown
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.database.replica import may_lag
from orion_site.live.pages import live_page, rows_held
from runs.pages.filtering import address_after, address_without, since_choices
from runs.pages.query_box import read_since
from runs.pages.saved_views import begins_with_default, views_above
from runs.pages.selectors.keyset import Cursor


@requires(Action.READ_EVENTS)
@may_lag
@begins_with_default("events")
@live_page
def events(request: HttpRequest) -> HttpResponse:
    values = {name: request.GET.get(name, "").strip() for name in ("event", "resource", "since")}
    problems: list[str] = []
    wanted = EventCriteria(values["event"], values["resource"], read_since(values["since"], problems))
    after, size = Cursor.read(request.GET.get("after", "")), PAGE_SIZE + rows_held(request)
    found = events_page(wanted=wanted, after=after, now=current_time(), size=size)
    rows = found.page.rows
    context = {
        "section": "events",
        "rows": list(zip(rows, named(labels_shown(event) for event in rows), strict=True)),
        "views": views_above(request, "events"),
        "found": found,
        "values": values,
        "problems": problems,
        "since_choices": since_choices(values["since"]),
        "is_filtered": any(values.values()),
        "is_first": "after" not in request.GET,
        "first": address_without(request.GET),
        "next": address_after(request.GET, found.page.after),
    }
    return TemplateResponse(request, "events/events.html", context)


@requires(Action.READ_EVENTS)
@may_lag
@live_page
def event(request: HttpRequest, event_id: UUID) -> HttpResponse:
    found = event_with_cause(event_id)
    if found is None:
        raise Http404
    resource, *related = named([found[0].resource, *found[0].related])
    context = {
        "section": "events",
        "event": found[0],
        "cause": found[1],
        "resource": resource,
        "related": related,
    }
    return TemplateResponse(request, "events/event.html", context)
