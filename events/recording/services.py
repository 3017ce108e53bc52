"""Events that programs report: stored once, whatever how often they are sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from events.models import Event
from events.recording.core import RESOURCE_ID
from events.recording.wire import EventIn
from orchestration.transactions import repeated_on_conflict, write_transaction


@repeated_on_conflict
def store_events(*, events: Sequence[EventIn], now: datetime) -> None:
    with write_transaction():
        Event.objects.bulk_create([_row(one, now) for one in events], ignore_conflicts=True)


def _row(event: EventIn, now: datetime) -> Event:
    return Event(
        id=event.id,
        occurred=event.occurred,
        received=now,
        event=event.event,
        resource_id=event.resource[RESOURCE_ID],
        resource=event.resource,
        related=event.related,
        payload=event.payload,
        follows=event.follows,
    )
