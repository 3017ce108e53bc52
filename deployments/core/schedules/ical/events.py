"""The events of an iCalendar document, each with all its dates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from icalendar import Calendar, Component

from deployments.core.schedules.effort import Effort
from deployments.core.schedules.errors import ScheduleError
from deployments.core.schedules.expansion import walls
from deployments.core.schedules.ical.values import ZONE, Stated, rules, stated
from deployments.core.schedules.ical.zones import Zones, only
from deployments.core.schedules.rules import read_rule
from deployments.core.schedules.series import Series
from deployments.core.schedules.zones import DAY, first_moment, wall_of

LONGEST = 1_000_000
MOST_RECURRING = 2_000
FOLDED = re.compile(r"\r?\n[ \t]")
# Zones are ours: the parser would guess some, and keep those that one document defines for all that it reads later.
NAMED_ZONE = re.compile(
    r"^((?:DTSTART|DTEND|EXDATE|RDATE|RECURRENCE-ID)(?:;[^:\n]*?)?;)TZID=", re.MULTILINE | re.IGNORECASE
)
ZONE_BEGINS, ZONE_ENDS = "BEGIN:VTIMEZONE", "END:VTIMEZONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`length` is counted in days by the calendar if the event is one of whole days, otherwise in elapsed time."""

    series: Series
    length: timedelta
    is_all_day: bool
    summary: str

    def end_of(self, at: datetime, wall: datetime) -> datetime:
        return first_moment(wall + self.length, self.series.zone) if self.is_all_day else at + self.length


@dataclass(frozen=True, slots=True)
class Document:
    """Its events, without those that were cancelled; `zone` is that of times that name none."""

    zone: tzinfo
    events: tuple[Event, ...]


# Planning comes back to the same documents, and reading a long one takes a second.
@lru_cache(maxsize=32)
def read_document(text: str, zone: tzinfo | None = None, days: tzinfo | None = None) -> Document:
    """Times that name no zone are those of `zone`, else of the one that the document states, else of `days`.

    Whole days are those of `days`; without that, of the same zone as such times.
    """
    if not isinstance(text, str) or len(text) > LONGEST:
        raise ScheduleError(f"A calendar is an iCalendar document of at most {LONGEST} characters.", "ics")
    try:
        return _read(text, zone, days)
    except ScheduleError:
        raise
    except Exception as error:
        # What strange documents make a parser raise is not listed anywhere.
        raise ScheduleError(f"The iCalendar document cannot be read: {error}", "ics") from error


def _read(text: str, zone: tzinfo | None, days: tzinfo | None) -> Document:
    text, defined = _parted(FOLDED.sub("", text.lstrip("\ufeff \r\n\t")))
    calendars = Calendar.from_ical(NAMED_ZONE.sub(rf"\1{ZONE}=", text), multiple=True)
    if not calendars or any(calendar.name != "VCALENDAR" for calendar in calendars):
        raise ScheduleError("This is no iCalendar document: it does not begin with BEGIN:VCALENDAR.", "ics")
    zones = Zones(_definitions(defined))
    zones.default = zone or _stated_zone(calendars, zones) or days or UTC
    zones.days = days or zones.default
    return Document(zones.default, _events([one for calendar in calendars for one in calendar.walk("VEVENT")], zones))


def _parted(text: str) -> tuple[str, list[str]]:
    """The document without the zones that it defines, and these."""
    rest: list[str] = []
    defined: list[str] = []
    zone: list[str] | None = None
    for line in text.split("\n"):
        said = line.strip().upper()
        if zone is None and said == ZONE_BEGINS:
            zone = []
        (rest if zone is None else zone).append(line)
        if zone is not None and said == ZONE_ENDS:
            defined.append("\n".join(zone))
            zone = None
    # One that never ends is no zone: let the parser say so.
    return "\n".join([*rest, *(zone or ())]), defined


def _definitions(defined: Iterable[str]) -> Mapping[str, Component]:
    found = [Component.from_ical(block) for block in defined]
    return {str(one["TZID"]): one for one in found if "TZID" in one}


def _stated_zone(calendars: Iterable[Component], zones: Zones) -> tzinfo | None:
    return next((zones.named(str(one["X-WR-TIMEZONE"])) for one in calendars if "X-WR-TIMEZONE" in one), None)


def _events(components: Iterable[Component], zones: Zones) -> tuple[Event, ...]:
    """Dates that were changed one by one are left out of their series, and are events of their own."""
    found: list[tuple[str | None, Event]] = []
    changed: dict[str | None, list[Stated]] = {}
    for component in components:
        uid = str(component["UID"]) if "UID" in component else None
        if is_change := "RECURRENCE-ID" in component:
            changed.setdefault(uid, []).append(_changed_date(component))
        if str(component.get("STATUS", "")).upper() != "CANCELLED":
            found.append((None if is_change else uid, _event(component, zones)))
    _refuse_endless_work([event for _, event in found if event.series.rules])
    return tuple(
        replace(event, series=_left_out(event.series, changed[uid], zones)) if uid in changed and uid else event
        for uid, event in found
    )


def _refuse_endless_work(recurring: list[Event]) -> None:
    if len(recurring) > MOST_RECURRING:
        raise ScheduleError(f"The calendar has more than {MOST_RECURRING} recurring events.", "ics")
    effort = Effort()
    for event in recurring:
        start = event.series.start
        for rule in event.series.rules:
            # Programs write an end before the beginning when all dates have been deleted.
            if (rule.until is None or rule.until >= start) and next(walls(rule, start, start, effort), None) is None:
                raise ScheduleError(f"The event {event.summary!r} recurs by a rule that never comes.", "ics")


def _changed_date(component: Component) -> Stated:
    if str(only(component, "RECURRENCE-ID").params.get("RANGE", "")).upper() == "THISANDFUTURE":
        why = "it moves one date and all later ones together (RANGE=THISANDFUTURE); make that two events"
        raise ScheduleError(f"The event {_name(component)} cannot be followed: {why}.", "ics")
    return stated(component, "RECURRENCE-ID")[0]


def _left_out(series: Series, dates: Iterable[Stated], zones: Zones) -> Series:
    dates = list(dates)
    return replace(
        series,
        left_out=series.left_out | {one.moment(zones) for one in dates if not one.is_day},
        days_left_out=series.days_left_out | {one.wall.date() for one in dates if one.is_day},
    )


def _event(component: Component, zones: Zones) -> Event:
    if "DTSTART" not in component:
        raise ScheduleError(f"The event {_name(component)} has no beginning (DTSTART).", "ics")
    [begin] = stated(component, "DTSTART")
    zone = begin.zone(zones)
    # Its beginning is one of its dates, whether or not the rules say so.
    moments = {begin.moment(zones), *(one.moment(zones) for one in stated(component, "RDATE"))}
    series = Series(
        zone=zone,
        start=begin.wall,
        rules=tuple(read_rule(text, zone, "ics") for text in rules(component, "RRULE")),
        dates=tuple((moment, wall_of(moment, zone)) for moment in sorted(moments)),
        except_rules=tuple(read_rule(text, zone, "ics") for text in rules(component, "EXRULE")),
    )
    return Event(
        series=_left_out(series, stated(component, "EXDATE"), zones),
        length=_length(component, begin, zones),
        is_all_day=begin.is_day,
        summary=str(component.get("SUMMARY", "")),
    )


def _name(component: Component) -> str:
    return repr(str(component.get("SUMMARY") or component.get("UID") or "without a name"))


def _length(component: Component, begin: Stated, zones: Zones) -> timedelta:
    shortest = length = DAY if begin.is_day else timedelta()
    if "DURATION" in component:
        length = only(component, "DURATION").dt
    elif "DTEND" in component:
        [end] = stated(component, "DTEND")
        length = end.wall - begin.wall if begin.is_day else end.moment(zones) - begin.moment(zones)
    return max(length, shortest)
