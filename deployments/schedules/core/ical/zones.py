"""The time zones of a document: names of the zone database, names of Windows, or definitions of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from icalendar import Component
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.ical.embedded import EmbeddedZone, Observance
from deployments.schedules.core.rules import Freq, Rule, read_rule
from deployments.schedules.core.zones import is_place

# Some programs write every change within a century as a separate offset.
MOST_OBSERVANCES = 500
NAMES_OF_UTC = frozenset({"UTC", "GMT", "Z", "COORDINATED UNIVERSAL TIME"})
OFFSET = re.compile(r"(?:UTC|GMT)(?P<sign>[+-])(?P<hours>\d{1,2}):?(?P<minutes>\d{2})?", re.IGNORECASE)


class Zones:
    """The zones of one document.

    Times without a zone are in `default`, or else in the zone that the document has `stated`. Whole days are in `days`,
    or else in the same zone as such times.
    """

    def __init__(
        self,
        definitions: Mapping[str, str],
        *,
        default: tzinfo | None = None,
        stated: str | None = None,
        days: tzinfo | None = None,
    ) -> None:
        self._definitions = definitions
        self._default = default
        self._stated = stated
        self._days = days
        self._known: dict[str, tzinfo] = {}

    # Looked up lazily, because documents state zones that none of their events use.
    @property
    def default(self) -> tzinfo:
        if self._default is not None:
            return self._default
        return self.named(self._stated) if self._stated else UTC

    @property
    def days(self) -> tzinfo:
        return self._days if self._days is not None else self.default

    def named(self, name: str) -> tzinfo:
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def _find(self, name: str) -> tzinfo:
        for candidate in _candidates(name):
            if (zone := _known_zone(candidate)) is not None:
                return zone
        if name in self._definitions:
            definition = Component.from_ical(self._definitions[name])
            place = _known_zone(str(definition.get("X-LIC-LOCATION", "")))
            return place or EmbeddedZone(name, _observances(definition))
        if (offset := _stated_offset(name)) is not None:
            return offset
        raise ScheduleError(f"The calendar names the time zone {name!r} without defining it.", "ics")


def _candidates(name: str) -> Iterator[str]:
    """Yield the name, and its last parts: some programs write /example.org/20210210/Europe/Berlin."""
    parts = name.strip().strip("/").split("/")
    for number in range(min(len(parts), 6)):
        yield "/".join(parts[number:])


def _known_zone(name: str) -> tzinfo | None:
    name = WINDOWS_TO_OLSON.get(name, name)
    if name.upper() in NAMES_OF_UTC:
        return UTC
    try:
        return ZoneInfo(_canonical_name(name)) if is_place(name) else None
    except (KeyError, ValueError, OSError):
        return None


def _canonical_name(name: str) -> str:
    """Return the spelling of the zone database: some programs write lower case, or spaces."""
    return _canonical_names().get(name.replace(" ", "_").lower(), name)


@lru_cache(maxsize=1)
def _canonical_names() -> Mapping[str, str]:
    return {name.lower(): name for name in available_timezones()}


def _stated_offset(name: str) -> tzinfo | None:
    """Return the zone of a name that states an offset, such as GMT+0100 or UTC-05:00."""
    if not (found := OFFSET.fullmatch(name.strip().strip("()"))):
        return None
    hours, minutes = int(found["hours"]), int(found["minutes"] or 0)
    if hours > 14 or minutes > 59:
        return None
    ahead = timedelta(hours=hours, minutes=minutes)
    return timezone(ahead if found["sign"] == "+" else -ahead)


def _observances(definition: Component) -> list[Observance]:
    parts = [part for part in definition.subcomponents if part.name in {"STANDARD", "DAYLIGHT"}]
    if not parts:
        raise ScheduleError(f"The time zone {definition.get('TZID')!r} is defined without any offset.", "ics")
    if len(parts) > MOST_OBSERVANCES:
        raise ScheduleError(
            f"The time zone {definition.get('TZID')!r} has more than {MOST_OBSERVANCES} offsets.", "ics"
        )
    return [_observance(part, definition) for part in parts]


def _observance(part: Component, definition: Component) -> Observance:
    after = _offset(part, "TZOFFSETTO")
    before = _offset(part, "TZOFFSETFROM") if "TZOFFSETFROM" in part else _other_offset(part, definition) or after
    return Observance(
        start=_local(only(part, "DTSTART").dt),
        before=before,
        after=after,
        rules=tuple(_yearly(rule.to_ical().decode(), before) for rule in several(part, "RRULE")),
        dates=tuple(_local(date.dt) for dates in several(part, "RDATE") for date in dates.dts),
    )


def _other_offset(part: Component, definition: Component) -> timedelta | None:
    """Return the offset before the change if none is given: that of the other half of the year."""
    others = (one for one in definition.subcomponents if one.name in {"STANDARD", "DAYLIGHT"} and one.name != part.name)
    return next((_offset(one, "TZOFFSETTO") for one in others if "TZOFFSETTO" in one), None)


def _offset(part: Component, name: str) -> timedelta:
    offset: timedelta = only(part, name).td
    return offset


def _local(moment: date) -> datetime:
    return moment.replace(tzinfo=None) if isinstance(moment, datetime) else datetime.combine(moment, time())


def _yearly(text: str, before: timedelta) -> Rule:
    # UNTIL is in UTC; other times are local times before the change.
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
