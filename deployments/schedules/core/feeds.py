"""Planned runs as a calendar for subscribers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icalendar import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedEvent:
    """A run in the feed. `uid` stays the same for the same run; `changed` is when it was planned."""

    uid: str
    at: datetime
    changed: datetime
    summary: str
    url: str | None = None
    description: str | None = None
    categories: tuple[str, ...] = ()


def planned_feed(runs: Iterable[PlannedEvent], *, name: str = "Planned runs") -> str:
    """Return an iCalendar document (RFC 5545) of these runs. The same runs always give the same text."""
    # Imported here because the library is slow to load.
    from icalendar import Calendar

    calendar = Calendar()
    calendar.add("prodid", "-//Orion//Planned runs//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", name)
    for run in runs:
        calendar.add_component(_event(run))
    text: bytes = calendar.to_ical()
    return text.decode()


def _event(run: PlannedEvent) -> Event:
    from icalendar import Event

    event = Event()
    event.add("uid", run.uid)
    event.add("dtstamp", run.changed.astimezone(UTC))
    event.add("dtstart", run.at.astimezone(UTC))
    event.add("summary", run.summary)
    # Run times do not make the subscriber busy.
    event.add("transp", "TRANSPARENT")
    if run.description:
        event.add("description", run.description)
    if run.url:
        event.add("url", run.url)
    if run.categories:
        event.add("categories", list(run.categories))
    return event
