"""Calendars with their next events, and the schedules that use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from deployments.models import Calendar, Schedule
from deployments.pages.selectors.deployment import words_of
from deployments.schedules.core import ScheduleError
from deployments.schedules.core.calendars import UpcomingEvent, upcoming_events

# Few, because each one is parsed for its next event.
CALENDARS_PER_PAGE = 20
EVENTS_SHOWN = 20
MOST_SCHEDULES = 100


@dataclass(frozen=True, slots=True)
class CalendarLine:
    """A calendar, the number of its schedules, and its next events. `problem` says why it cannot be read."""

    calendar: Calendar
    uses: int
    events: Sequence[UpcomingEvent]
    problem: str


@dataclass(frozen=True, slots=True)
class CalendarsPage:
    rows: Sequence[CalendarLine]
    after: str


def _uses() -> Coalesce:
    """Return the number of schedules of a calendar. A subquery, because limited sight prevents grouping."""
    uses: QuerySet[Any, Any] = Schedule.calendars.through._default_manager.filter(calendar=OuterRef("pk")).order_by()
    used = uses.values("calendar")
    return Coalesce(Subquery(used.annotate(number=Count("pk")).values("number")), 0)


def calendars_page(*, after: str, now: datetime) -> CalendarsPage:
    """Return a page of calendars, with one query. The next page starts after the last name of this one."""
    found = Calendar.objects.annotate(uses=_uses()).order_by("name")
    if after:
        found = found.filter(name__gt=after)
    rows = list(found[: CALENDARS_PER_PAGE + 1])
    shown = rows[:CALENDARS_PER_PAGE]
    lines = [_line(one, one.uses, 1, now) for one in shown]
    return CalendarsPage(lines, shown[-1].name if len(rows) > CALENDARS_PER_PAGE else "")


def _line(calendar: Calendar, uses: int, count: int, now: datetime) -> CalendarLine:
    try:
        return CalendarLine(calendar, uses, upcoming_events(calendar.ics, after=now, count=count), "")
    except ScheduleError as error:
        return CalendarLine(calendar, uses, [], str(error))


@dataclass(frozen=True, slots=True)
class Use:
    """A schedule that leaves out the times of a calendar."""

    schedule: Schedule
    words: str


@dataclass(frozen=True, slots=True)
class CalendarPage:
    line: CalendarLine
    schedules: Sequence[Use]


def calendar_page(*, calendar_id: UUID, now: datetime) -> CalendarPage | None:
    calendar = Calendar.objects.annotate(uses=_uses()).filter(pk=calendar_id).first()
    if calendar is None:
        return None
    using = Schedule.objects.filter(calendars=calendar_id).select_related("deployment__flow")
    using = using.order_by("deployment__flow__name", "deployment__name", "created")[:MOST_SCHEDULES]
    return CalendarPage(_line(calendar, calendar.uses, EVENTS_SHOWN, now), [Use(one, _words(one)) for one in using])


def _words(schedule: Schedule) -> str:
    try:
        return words_of(schedule.definition)
    except ScheduleError as error:
        return str(error)
