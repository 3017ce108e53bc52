"""Schedules from calendars: a run at the start of each event of an iCalendar document."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from heapq import merge
from typing import TYPE_CHECKING, Any

from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.expansion import Effort
from deployments.schedules.core.timetable import Timetable
from deployments.schedules.core.zones import Named, is_text, name_of, zone_of

if TYPE_CHECKING:
    from deployments.schedules.core.ical.events import Document, Event


@dataclass(frozen=True, slots=True)
class IcsTimes(Timetable):
    """The times of a calendar. Single events are in one sorted tuple, because a calendar may have thousands."""

    zone: tzinfo
    once: tuple[Named, ...]
    recurring: tuple[Event, ...]
    events: int

    def _named_from(self, moment: datetime) -> Iterator[Named]:
        once = self.once[bisect_left(self.once, moment, key=lambda named: named[0]) :]
        effort = Effort()
        return merge(once, *(event.series.named_from(moment, effort) for event in self.recurring))

    def describe(self) -> str:
        number = "an event" if self.events == 1 else f"{self.events} events"
        return f"at the beginning of {number} of a calendar, {name_of(self.zone)}"


def read_ics(definition: Mapping[str, Any]) -> IcsTimes:
    # Imported here because the calendar library is slow to load, and most servers have no calendars.
    from deployments.schedules.core.ical.events import read_document

    text, zone_name = definition["ics"], definition.get("timezone")
    if not is_text(text):
        raise ScheduleError("A calendar is the text of an iCalendar document.", "ics")
    zone = zone_of(zone_name) if zone_name else None
    document = read_document(text, zone)
    if not document.events:
        raise ScheduleError("The calendar has no events.", "ics")
    recurring = tuple(event for event in document.events if event.series.rules)
    once = sorted(
        named
        for event in document.events
        if not event.series.rules
        for named in event.series.named_from(event.series.dates[0][0])
    )
    return IcsTimes(zone or _usual_zone(document), tuple(once), recurring, len(document.events))


def _usual_zone(document: Document) -> tzinfo:
    """Return the zone that most of its events name."""
    (zone, _), *_ = Counter(event.series.zone for event in document.events).most_common(1)
    return zone
