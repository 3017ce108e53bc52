"""Record events in the transaction of the change that they are about. A leaf, for all layers above the models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from events.models import Event
from orionflow.contract.kinds import RESOURCE_ID


def record_event(
    event: str,
    *,
    resource: Mapping[str, str],
    now: datetime,
    related: Sequence[Mapping[str, str]] = (),
    payload: Mapping[str, Any] | None = None,
) -> Event:
    """Record an event such as "orion.flow-run.missed-start" of a resource, which is given as labels with an id."""
    stored = new_event(event, resource=resource, now=now, related=related, payload=payload)
    stored.save(force_insert=True)
    return stored


def record_events(events: Sequence[Event]) -> None:
    Event.objects.bulk_create(events)


def new_event(
    event: str,
    *,
    resource: Mapping[str, str],
    now: datetime,
    related: Sequence[Mapping[str, str]] = (),
    payload: Mapping[str, Any] | None = None,
) -> Event:
    """Return an event that is not stored yet."""
    return Event(
        occurred=now,
        received=now,
        event=event,
        resource_id=resource[RESOURCE_ID],
        resource=dict(resource),
        related=[dict(one) for one in related],
        payload=dict(payload or {}),
    )
