"""Exclusions: the times of calendar events, at which schedules start no runs."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from heapq import merge
from itertools import islice, takewhile
from threading import Lock
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.expansion import Effort
from deployments.schedules.core.rules import Freq
from deployments.schedules.core.zones import DAY, FIRST, LAST, TICK

if TYPE_CHECKING:
    from deployments.schedules.core.ical.events import Event

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
WEEK = timedelta(days=7)
LONGEST_RECURRING = timedelta(days=366)
# Exclusions stay read for months in a server, and are asked for any week, in any zone.
MOST_WEEKS, MOST_ZONES = 60, 12

Key = TypeVar("Key")
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """A number of values that were asked for last, by their keys. Threads may share it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the value of the key, which is made if it is not kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        # Without the lock, because it may take a second: two threads may make the same value, and one is kept.
        value = make()
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return value


class Exclusions:
    """The times that events cover, from each start up to its end. Events without a length cover only their start.

    A whole day is a day in the zone of the schedule: a holiday begins at midnight there.
    """

    def __init__(self, texts: tuple[str, ...] = (), zone: tzinfo | None = None) -> None:
        # Imported here because the calendar library is slow to load, and most servers have no calendars.
        from deployments.schedules.core.ical.events import read_document

        self._texts = texts
        self._in_zones: Kept[tzinfo, Self] = Kept(MOST_ZONES)
        events = [event for text in texts for event in read_document(text, days=zone).events]
        self._once = Spans(span for event in events if not event.series.rules for span in _all_spans(event))
        self._recurring = [_bounded(event) for event in events if event.series.rules]
        self._weeks: Kept[int, Spans] = Kept(MOST_WEEKS)

    @classmethod
    def from_ics(cls, texts: Iterable[str]) -> Self:
        """Read calendars. Raises ScheduleError for a text that is not a calendar."""
        return cls(tuple(texts))

    def seen_from(self, zone: tzinfo) -> Self:
        """Return these events with whole days in that zone."""
        return self._in_zones.get(zone, lambda: type(self)(self._texts, zone))

    def covers(self, moment: datetime) -> bool:
        return self.event_at(moment) is not None

    def event_at(self, moment: datetime) -> str | None:
        """Return the summary of an event that covers the moment; None if there is none."""
        moment = moment.astimezone(UTC)
        found = self._once.at(moment)
        return found if found is not None or not self._recurring else self._of_week(moment).at(moment)

    def between(self, begin: datetime, end: datetime) -> list[Span]:
        """Return the spans that overlap this period, in order."""
        first, last = (begin - EPOCH) // WEEK, (end - TICK - EPOCH) // WEEK
        weeks = (self._of_week(EPOCH + number * WEEK) for number in range(first, last + 1) if self._recurring)
        return sorted({span for spans in (self._once, *weeks) for span in spans.within(begin, end)})

    def _of_week(self, moment: datetime) -> Spans:
        number = (moment - EPOCH) // WEEK
        return self._weeks.get(number, lambda: self._spans_of_week(EPOCH + number * WEEK))

    def _spans_of_week(self, begin: datetime) -> Spans:
        effort = Effort()
        return Spans(span for one in self._recurring for span in _spans_between(one, begin, effort))


@dataclass(frozen=True, slots=True)
class UpcomingEvent:
    """One event of a calendar. Whole days depend on the zone of each schedule; here they are in UTC."""

    begin: datetime
    end: datetime
    summary: str
    is_all_day: bool

    @property
    def last_day(self) -> date:
        return (self.end - TICK).date()


def upcoming_events(text: str, *, after: datetime, count: int) -> list[UpcomingEvent]:
    """Return the next events that are not over, in order. Raises ScheduleError."""
    from deployments.schedules.core.ical.events import read_document

    effort = Effort()
    streams = [_not_over(event, after, effort) for event in read_document(text, days=UTC).events]
    return [UpcomingEvent(*one) for one in islice(merge(*streams), count)]


def _not_over(event: Event, after: datetime, effort: Effort) -> Iterator[tuple[datetime, datetime, str, bool]]:
    first = max(after - event.length - 2 * DAY, EARLIEST) if event.series.rules else event.series.dates[0][0]
    for at, wall in event.series.named_from(first, effort):
        effort.spend(1)
        end = max(event.end_of(at, wall), at + TICK)
        if end > after:
            # A day from the ends of the calendar, every zone can show it.
            begin, end = (min(max(one, FIRST + DAY), LAST - DAY) for one in (at, end))
            yield begin, end, event.summary, event.is_all_day


Span = tuple[datetime, datetime, str]


class Spans:
    """Time spans that may overlap, sorted by start, each with the span that ends last among those up to it."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._spans = sorted(spans)
        self._begins: list[datetime] = []
        self._longest: list[Span] = []
        for span in self._spans:
            self._begins.append(span[0])
            self._longest.append(max([span, *self._longest[-1:]], key=lambda one: one[1]))

    def at(self, moment: datetime) -> str | None:
        number = bisect_right(self._begins, moment)
        if not number:
            return None
        _, end, summary = self._longest[number - 1]
        return summary if moment < end else None

    def within(self, begin: datetime, end: datetime) -> list[Span]:
        return [span for span in self._spans[: bisect_left(self._begins, end)] if span[1] > begin]


def _bounded(event: Event) -> Event:
    """Return the event. Raises ScheduleError if thousands of its dates could cover the same moment."""
    finest = max(rule.freq for rule in event.series.rules)
    if finest > Freq.HOURLY or event.length > LONGEST_RECURRING:
        why = "an event to leave out recurs by the hour at the most, and lasts a year at the most"
        raise ScheduleError(f"The event {event.summary!r} cannot be applied: {why}.", "ics")
    return event


def _all_spans(event: Event) -> list[Span]:
    return _spans(event, event.series.dates[0][0], None, Effort())


def _spans_between(event: Event, begin: datetime, effort: Effort) -> list[Span]:
    """Return the event's spans that overlap the week that starts at `begin`."""
    spans = _spans(event, begin - event.length - 2 * DAY, begin + WEEK, effort)
    return [span for span in spans if span[1] > begin]


def _spans(event: Event, begin: datetime, end: datetime | None, effort: Effort) -> list[Span]:
    found: list[Span] = []
    try:
        for at, wall in takewhile(lambda named: end is None or named[0] < end, event.series.named_from(begin, effort)):
            effort.spend(1)
            found.append((at, max(event.end_of(at, wall), at + TICK), event.summary))
    except ScheduleError:
        raise
    except (OverflowError, ValueError):
        # There is nothing after the year 9999.
        pass
    return found
