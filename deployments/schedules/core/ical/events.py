"""The events of an iCalendar document, each with all its dates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import takewhile

from icalendar import Calendar, Component

from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.expansion import Effort, walls
from deployments.schedules.core.ical.values import ZONE, Stated, rules, stated
from deployments.schedules.core.ical.zones import Zones, only
from deployments.schedules.core.rules import Rule, ended_by_day, read_rule
from deployments.schedules.core.series import Series
from deployments.schedules.core.zones import DAY, LAST, first_moment, wall_of
from orionflow.contract.schedules import LONGEST_ICS

MOST_RECURRING = 2_000
FOLDED = re.compile(r"\r?\n[ \t]")
# Zones are resolved by our code: the parser would guess some of them, and keep those of one document for all later
# ones.
NAMED_ZONE = re.compile(
    r"^((?:DTSTART|DTEND|EXDATE|RDATE|RECURRENCE-ID)(?:;[^:\n]*?)?;)TZID=", re.MULTILINE | re.IGNORECASE
)
RULE = re.compile(r"^((?:RRULE|EXRULE)(?:;[^:\n]*)?):(.*)$", re.MULTILINE | re.IGNORECASE)
# Some programs leave empty properties behind when their last date is deleted.
EMPTY = re.compile(r"^(?:RRULE|EXRULE|RDATE|EXDATE)(?:;[^:\n]*)?:[ \t\r]*\n", re.MULTILINE | re.IGNORECASE)
CANCELLED = "CANCELLED"
ZONE_BEGINS, ZONE_ENDS = "BEGIN:VTIMEZONE", "END:VTIMEZONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. `length` is in calendar days for an event of whole days, and otherwise in elapsed time."""

    series: Series
    length: timedelta
    is_all_day: bool
    summary: str

    def end_of(self, at: datetime, wall: datetime) -> datetime:
        try:
            return first_moment(wall + self.length, self.series.zone) if self.is_all_day else at + self.length
        except OverflowError:
            return LAST


@dataclass(frozen=True, slots=True)
class Document:
    """The events of a document without cancelled ones. `zone` is the zone of times that name none."""

    zone: tzinfo
    events: tuple[Event, ...]


# Planning reads the same documents again and again, and a long one takes a second.
@lru_cache(maxsize=32)
def read_document(text: str, zone: tzinfo | None = None, days: tzinfo | None = None) -> Document:
    """Return the document. Times without a zone are in `zone`, else in the zone that it states, else in `days`.

    Whole days are in the zone `days`, or if that is None, in the zone of such times.
    """
    if not isinstance(text, str) or len(text) > LONGEST_ICS:
        raise ScheduleError(f"A calendar is an iCalendar document of at most {LONGEST_ICS} characters.", "ics")
    try:
        return _read(text, zone, days)
    except ScheduleError:
        raise
    except Exception as error:
        # A parser may raise any exception for an unusual document.
        raise ScheduleError(f"The iCalendar document cannot be read: {error}", "ics") from error


def _read(text: str, zone: tzinfo | None, days: tzinfo | None) -> Document:
    text, defined = _parted(FOLDED.sub("", text.lstrip("\ufeff \r\n\t")))
    text = RULE.sub(lambda rule: f"{rule[1]}:{''.join(rule[2].split()).upper()}", EMPTY.sub("", text))
    calendars = Calendar.from_ical(NAMED_ZONE.sub(rf"\1{ZONE}=", text), multiple=True)
    if not calendars or any(calendar.name != "VCALENDAR" for calendar in calendars):
        raise ScheduleError("This is not an iCalendar document: it does not begin with BEGIN:VCALENDAR.", "ics")
    zones = Zones(_definitions(defined), default=zone or days, stated=_stated_zone(calendars), days=days)
    found = [one for calendar in calendars for one in _components(calendar)]
    events = _events(found, zones)
    return Document(zone or _zone_of(events, zones), events)


def _components(calendar: Component) -> Iterator[Component]:
    """Yield the calendar's events. In a message that cancels, all of them are cancelled."""
    is_cancellation = str(calendar.get("METHOD", "")).upper() == "CANCEL"
    for component in calendar.walk("VEVENT"):
        if is_cancellation:
            component["STATUS"] = CANCELLED
        yield component


def _zone_of(events: Iterable[Event], zones: Zones) -> tzinfo:
    """Return the zone for times that name none. If every time names one, it may be undefined."""
    try:
        return zones.default
    except ScheduleError:
        return next((event.series.zone for event in events), UTC)


def _parted(text: str) -> tuple[str, list[str]]:
    """Return the document without the zones that it defines, and these definitions."""
    rest: list[str] = []
    defined: list[str] = []
    zone: list[str] | None = None
    for line in text.split("\n"):
        given = line.strip().upper()
        if zone is None and given == ZONE_BEGINS:
            zone = []
        (rest if zone is None else zone).append(line)
        if zone is not None and given == ZONE_ENDS:
            defined.append("\n".join(zone))
            zone = None
    # A definition without an end is not a zone; leave it in the text, so that the parser reports it.
    return "\n".join([*rest, *(zone or ())]), defined


def _definitions(defined: Iterable[str]) -> Mapping[str, str]:
    """Return the definitions of zones by name. Each is parsed when it is needed, because not all are readable."""
    found = {}
    for block in defined:
        if name := re.search(r"^TZID(?:;[^:\n]*)?:(.*)$", block, re.MULTILINE | re.IGNORECASE):
            found[name[1].strip().replace("\\,", ",").replace("\\;", ";")] = block
    return found


def _stated_zone(calendars: Iterable[Component]) -> str | None:
    return next((str(one["X-WR-TIMEZONE"]) for one in calendars if "X-WR-TIMEZONE" in one), None)


@dataclass(slots=True)
class Versions:
    """The versions of one UID: the event itself, and the dates changed separately, each in its newest versions.

    Usually there is one newest version. If it cannot be determined, all of them are used.
    """

    own: list[Component] = field(default_factory=list)
    changed: dict[object, list[Component]] = field(default_factory=dict)

    def add(self, component: Component, zones: Zones) -> None:
        if "RECURRENCE-ID" not in component:
            self.own = _newest([*self.own, component])
            return
        given = _changed_date(component)
        key: object = given.value if given.is_day else given.moment(zones)
        self.changed[key] = _newest([*self.changed.get(key, []), component])


def _newest(versions: list[Component]) -> list[Component]:
    latest = max(map(_version, versions))
    newest = [one for one in versions if _version(one) == latest]
    return list({one.to_ical(): one for one in newest}.values())


def _version(component: Component) -> tuple[int, str]:
    stamp = component.get("LAST-MODIFIED") or component.get("DTSTAMP")
    return int(str(component.get("SEQUENCE", 0)) or 0), stamp.to_ical().decode() if stamp else ""


def _events(components: Iterable[Component], zones: Zones) -> tuple[Event, ...]:
    """Return the events. Dates that were changed separately are excluded from their series, and are own events."""
    versions: dict[str | int, Versions] = {}
    for number, component in enumerate(components):
        uid = str(component["UID"]) if "UID" in component else number
        versions.setdefault(uid, Versions()).add(component, zones)
    found = [event for one in versions.values() for event in _events_of(one, zones)]
    _refuse_endless_work([event for event in found if event.series.rules])
    return tuple(found)


def _events_of(versions: Versions, zones: Zones) -> Iterator[Event]:
    changed = [one for parts in versions.changed.values() for one in parts]
    dates = [_changed_date(one) for one in changed]
    is_off = bool(versions.own) and all(map(_is_cancelled, versions.own))
    called_off = [one for own in versions.own for one in stated(own, "EXDATE")]
    events = [_event(own, zones) for own in versions.own if not _is_cancelled(own)]
    for event in events:
        yield replace(event, series=_left_out(event, dates, zones))
    for component, given in zip(changed, dates, strict=True):
        # A date that was first moved and then deleted is in both lists.
        is_deleted = any(_is_same_date(given, other, versions.own[0], zones) for other in called_off)
        is_older = bool(versions.own) and _version(component)[0] < _version(versions.own[0])[0]
        # A change from an earlier version, of a date that the event no longer has.
        is_past = is_older and not any(_has_date(event, given, zones) for event in events)
        if not (is_off or is_deleted or is_past or _is_cancelled(component)):
            # Some programs copy the rules into each changed date.
            yield _event(component, zones, recurs=False)


def _is_cancelled(component: Component) -> bool:
    return str(component.get("STATUS", "")).upper() == CANCELLED


def _has_date(event: Event, given: Stated, zones: Zones) -> bool:
    if event.is_all_day:
        moment = first_moment(datetime.combine(given.day(zones), time()), event.series.zone)
    else:
        moment = given.moment(zones, event.series.zone)
    found = takewhile(lambda named: named[0] <= moment, event.series.named_from(moment))
    return any(at == moment for at, _ in found)


def _is_same_date(one: Stated, other: Stated, own: Component, zones: Zones) -> bool:
    begin = _begin(own)
    zone = begin.zone(zones)
    if begin.is_day:
        return one.day(zones) == other.day(zones)
    if one.is_day or other.is_day:
        days = [two.value if two.is_day else wall_of(two.moment(zones, zone), zone).date() for two in (one, other)]
        return days[0] == days[1]
    return one.moment(zones, zone) == other.moment(zones, zone)


def _refuse_endless_work(recurring: list[Event]) -> None:
    if len(recurring) > MOST_RECURRING:
        raise ScheduleError(f"The calendar has more than {MOST_RECURRING} recurring events.", "ics")
    effort = Effort()
    for event in recurring:
        start = event.series.start
        for rule in event.series.rules:
            # Programs write an UNTIL before the start when all dates have been deleted.
            if (rule.until is None or rule.until >= start) and next(walls(rule, start, start, effort), None) is None:
                raise ScheduleError(f"The event {event.summary!r} recurs by a rule that never comes.", "ics")


def _changed_date(component: Component) -> Stated:
    if str(only(component, "RECURRENCE-ID").params.get("RANGE", "")).upper() == "THISANDFUTURE":
        why = "it moves one date and all later ones together (RANGE=THISANDFUTURE); make that two events"
        raise ScheduleError(f"The event {_name(component)} cannot be followed: {why}.", "ics")
    return stated(component, "RECURRENCE-ID")[0]


def _left_out(event: Event, dates: Iterable[Stated], zones: Zones) -> Series:
    """Return the series of an event without these dates, which may be days for a series of times."""
    series, dates = event.series, list(dates)
    if event.is_all_day:
        return replace(series, days_left_out=series.days_left_out | {one.day(zones) for one in dates})
    return replace(
        series,
        left_out=series.left_out | {one.moment(zones, series.zone) for one in dates if not one.is_day},
        days_left_out=series.days_left_out | {one.wall.date() for one in dates if one.is_day},
    )


def _begin(component: Component) -> Stated:
    if "DTSTART" not in component:
        raise ScheduleError(f"The event {_name(component)} has no beginning (DTSTART).", "ics")
    [begin] = stated(component, "DTSTART")
    return begin


def _event(component: Component, zones: Zones, *, recurs: bool = True) -> Event:
    begin = _begin(component)
    zone = begin.zone(zones)
    further = stated(component, "RDATE") if recurs else []
    # The start is one of the dates, whether or not it matches the rules.
    moments = {begin.moment(zones), *(one.moment(zones, zone) for one in further)}
    event = Event(
        series=Series(
            zone=zone,
            start=begin.wall,
            rules=_rules(component, "RRULE", begin, zone) if recurs else (),
            dates=tuple((moment, wall_of(moment, zone)) for moment in sorted(moments)),
            except_rules=_rules(component, "EXRULE", begin, zone) if recurs else (),
        ),
        length=_length(component, begin, zones),
        is_all_day=begin.is_day,
        summary=str(component.get("SUMMARY", "")),
    )
    return replace(event, series=_left_out(event, stated(component, "EXDATE"), zones)) if recurs else event


def _rules(component: Component, name: str, begin: Stated, zone: tzinfo) -> tuple[Rule, ...]:
    texts = rules(component, name)
    return tuple(read_rule(ended_by_day(one) if begin.is_day else one, zone, "ics") for one in texts)


def _name(component: Component) -> str:
    return repr(str(component.get("SUMMARY") or component.get("UID") or "without a name"))


def _length(component: Component, begin: Stated, zones: Zones) -> timedelta:
    shortest = length = DAY if begin.is_day else timedelta()
    if "DURATION" in component:
        length = only(component, "DURATION").dt
    elif "DTEND" in component:
        [end] = stated(component, "DTEND")
        floating = begin.zone(zones)
        length = end.wall - begin.wall if begin.is_day else end.moment(zones, floating) - begin.moment(zones)
    return max(length, shortest)
