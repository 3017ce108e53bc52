"""Which time zone a document means: names of the zone database, those of Windows, or a definition of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from icalendar import Component
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from deployments.core.schedules.errors import ScheduleError
from deployments.core.schedules.ical.embedded import EmbeddedZone, Observance
from deployments.core.schedules.rules import Freq, Rule, read_rule

# Some programs write every change of a century as an offset of its own.
MOST_OBSERVANCES = 500


class Zones:
    """The zones of one document. Where it names none, times are those of `default`, and whole days those of `days`."""

    def __init__(self, definitions: Mapping[str, Component], *, default: tzinfo = UTC, days: tzinfo = UTC) -> None:
        self.default = default
        self.days = days
        self._definitions = definitions
        self._known: dict[str, tzinfo] = {}

    def named(self, name: str) -> tzinfo:
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def _find(self, name: str) -> tzinfo:
        for candidate in _candidates(name):
            if (zone := _known_zone(candidate)) is not None:
                return zone
        if name not in self._definitions:
            raise ScheduleError(f"The calendar names the time zone {name!r} without defining it.", "ics")
        definition = self._definitions[name]
        place = _known_zone(str(definition.get("X-LIC-LOCATION", "")))
        return place or EmbeddedZone(name, _observances(definition))


def _candidates(name: str) -> Iterator[str]:
    """The name, and what it ends with: some programs write /example.org/20210210/Europe/Berlin."""
    parts = name.strip().strip("/").split("/")
    for number in range(min(len(parts), 6)):
        yield "/".join(parts[number:])


def _known_zone(name: str) -> tzinfo | None:
    name = WINDOWS_TO_OLSON.get(name, name)
    try:
        return UTC if name.upper() in {"UTC", "GMT", "Z"} else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def _observances(definition: Component) -> list[Observance]:
    parts = [part for part in definition.subcomponents if part.name in {"STANDARD", "DAYLIGHT"}]
    if not parts:
        raise ScheduleError(f"The time zone {definition.get('TZID')!r} is defined without any offset.", "ics")
    if len(parts) > MOST_OBSERVANCES:
        raise ScheduleError(
            f"The time zone {definition.get('TZID')!r} has more than {MOST_OBSERVANCES} offsets.", "ics"
        )
    return [_observance(part) for part in parts]


def _observance(part: Component) -> Observance:
    before, after = _offset(part, "TZOFFSETFROM"), _offset(part, "TZOFFSETTO")
    return Observance(
        start=_local(only(part, "DTSTART").dt),
        before=before,
        after=after,
        rules=tuple(_yearly(rule.to_ical().decode(), before) for rule in several(part, "RRULE")),
        dates=tuple(_local(date.dt) for dates in several(part, "RDATE") for date in dates.dts),
    )


def _offset(part: Component, name: str) -> timedelta:
    offset: timedelta = only(part, name).td
    return offset


def _local(moment: Any) -> datetime:
    if not isinstance(moment, datetime):
        raise ScheduleError("The calendar defines a time zone by dates without times.", "ics")
    return moment.replace(tzinfo=None)


def _yearly(text: str, before: timedelta) -> Rule:
    # Its end is in UTC, its other times are as clocks show them before they are set.
    rule = read_rule(text, timezone(before), "ics")
    if rule.freq != Freq.YEARLY:
        raise ScheduleError("The calendar defines a time zone whose clocks are not set by the year.", "ics")
    return rule


def several(component: Component, name: str) -> list[Any]:
    found: Any = component.get(name, [])
    return found if isinstance(found, list) else [found]


def only(component: Component, name: str) -> Any:
    found = several(component, name)
    if not found:
        raise ScheduleError(f"The {component.name} of the calendar has no {name}.", "ics")
    return found[0]
