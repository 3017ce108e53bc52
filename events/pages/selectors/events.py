"""The feed of events, newest first, and single events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.fields.json import KeyTextTransform

from events.models import Event
from orionflow.contract.kinds import RESOURCE_ID
from runs.pages.selectors.keyset import Cursor, Page, page_of

PAGE_SIZE = 100
# A search by name or resource reads this number of events, and then shows how far back it has come.
SEARCHED = 30_000
# Read only this label, because a list does not show the others.
_NAME = KeyTextTransform("prefect.resource.name", "resource")


@dataclass(frozen=True, slots=True)
class EventCriteria:
    """The filter of the feed: prefixes of the event's name and of the resource's id, and how far back."""

    prefix: str = ""
    resource: str = ""
    since: timedelta | datetime | None = None

    @property
    def searches(self) -> bool:
        return bool(self.prefix or self.resource)


@dataclass(frozen=True, slots=True)
class EventsPage:
    page: Page[Any]
    was_cut_short: bool = False


def events_page(*, wanted: EventCriteria, after: Cursor | None, now: datetime, size: int = PAGE_SIZE) -> EventsPage:
    """Return a page of events, with two queries. A search stops after many events, and can be continued."""
    events = Event.objects.defer("payload", "related", "resource").annotate(resource_name=_NAME)
    if wanted.since is not None:
        since = now - wanted.since if isinstance(wanted.since, timedelta) else wanted.since
        events = events.filter(occurred__gte=since)
    if not wanted.searches:
        return EventsPage(page_of(events, by="occurred", after=after, size=size))
    end = _end_of_search(events, after)
    found = events.filter(occurred__gte=end) if end else events
    if wanted.prefix:
        found = found.filter(event__startswith=wanted.prefix)
    if wanted.resource:
        found = found.filter(resource_id__startswith=wanted.resource)
    page = page_of(found, by="occurred", after=after, size=size)
    if page.after is None and end:
        return EventsPage(Page(page.rows, Cursor.below_all_at(end)), was_cut_short=True)
    return EventsPage(page)


def labels_shown(event: Event) -> dict[str, str]:
    """Return the labels that the row of a listed event shows."""
    name = getattr(event, "resource_name", None)
    return {RESOURCE_ID: event.resource_id, "prefect.resource.name": name or ""}


def _end_of_search(events: QuerySet[Event], after: Cursor | None) -> datetime | None:
    # Select only the time, so that an index-only scan can skip any number of events.
    times = events.order_by("-occurred").values_list("occurred", flat=True)
    if after:
        times = times.filter(occurred__lte=after.at)
    return next(iter(times[SEARCHED : SEARCHED + 1]), None)


def event_with_cause(event_id: UUID) -> tuple[Event, Event | None] | None:
    """Return the event, and the one that it follows, if that is stored."""
    event = Event.objects.filter(pk=event_id).first()
    if event is None:
        return None
    return event, Event.objects.filter(pk=event.follows).first() if event.follows else None
