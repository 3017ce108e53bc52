"""Events that programs report: stored once, even if they are sent repeatedly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from events.models import Event
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.events import EventCreate
from orionflow.contract.kinds import RESOURCE_ID


@repeated_on_conflict
def store_events(*, events: Sequence[EventCreate], now: datetime) -> None:
    with write_transaction():
        Event.objects.bulk_create([_row(one, now) for one in events], ignore_conflicts=True)


def _row(event: EventCreate, now: datetime) -> Event:
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
