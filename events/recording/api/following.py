"""Events in the order of their arrival, for a client that wants every event that matches a filter.

The database is polled: it has the events of every process, and a slow client falls behind there instead of in this
server's memory. Events that a transaction held back for longer than `OVERLAP` are found by filters, but not delivered.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet

from events.models import Event
from events.recording.selectors import events_matching
from orionflow.contract.events import EventFilter

OVERLAP = timedelta(seconds=5)
PAGE = 200
BACKFILL = 1000
# The period of a filter that gives none.
USUAL_SPAN = timedelta(days=180)
END_OF_TIME = datetime.max.replace(tzinfo=UTC)


class Following:
    """A position in the stream of events, and the events delivered recently: rows may become visible slightly late."""

    def __init__(self, asked: EventFilter, now: datetime) -> None:
        self._asked = asked
        self._begun = now
        self._since = now - OVERLAP
        self._delivered: dict[UUID, datetime] = {}

    def begin(self, *, backfill: bool) -> list[Event]:
        """Return the newest earlier events, oldest first; without `backfill`, skip them."""
        self._delivered = dict(self._arrived())
        if not backfill:
            return []
        newest = self._matching().order_by("-occurred", "-id")[:BACKFILL]
        events = sorted(newest, key=lambda event: (event.occurred, event.id))
        self._delivered |= {event.id: event.received for event in events if event.received >= self._since}
        return events

    def read(self, now: datetime) -> list[Event]:
        """Return the events that arrived since the last call. After a full `PAGE` there may be more."""
        arrived = self._arrived()[: PAGE + len(self._delivered)]
        fresh = {id: received for id, received in arrived if id not in self._delivered}
        page = dict(list(fresh.items())[:PAGE])
        self._delivered |= page
        self._go_on(max(page.values()) if len(page) == PAGE else now)
        events = Event.objects.in_bulk(list(page))
        return [events[id] for id in page if id in events]

    def _go_on(self, moment: datetime) -> None:
        self._since = max(self._since, moment - OVERLAP)
        self._delivered = {id: received for id, received in self._delivered.items() if received >= self._since}

    def _arrived(self) -> QuerySet[Event, tuple[UUID, datetime]]:
        # As a list of ids, because SQLite would otherwise scan all events since the filter's start.
        arrived = self._matching().filter(pk__in=Event.objects.filter(received__gte=self._since).values("pk"))
        return arrived.order_by("received", "occurred", "id").values_list("id", "received")

    def _matching(self) -> QuerySet[Event]:
        return events_matching(self._asked, since=self._begun - USUAL_SPAN, until=END_OF_TIME)


def is_whole(page: Sequence[Event]) -> bool:
    return len(page) == PAGE
