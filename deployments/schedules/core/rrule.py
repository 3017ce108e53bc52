"""Recurrence rules as definitions: an RRULE alone, or lines with DTSTART, RRULE, RDATE, EXRULE and EXDATE."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, tzinfo
from typing import Any

from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.interval import ORIGIN
from deployments.schedules.core.rules import Rule, ended_by_day, read_rule
from deployments.schedules.core.series import Series
from deployments.schedules.core.timetable import Timetable
from deployments.schedules.core.zones import Named, first_moment, is_text, name_of, wall_of, zone_of
from orionflow.contract.schedules import LONGEST_RRULE

DATED = ("DTSTART", "RDATE", "EXDATE")
NAMES_TIMES = re.compile(r"BYHOUR|BYMINUTE|BYSECOND|HOURLY|MINUTELY|SECONDLY", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RuleTimes(Timetable):
    series: Series
    zone: tzinfo
    text: str
    has_start: bool = True

    @property
    def counts_from_nowhere(self) -> bool:
        """Whether it counts its times from a start that the user did not give."""
        return not self.has_start and any(rule.count is not None for rule in self.series.rules)

    def _named_from(self, moment: datetime) -> Iterator[Named]:
        return self.series.named_from(moment)

    def describe(self) -> str:
        return f"{' '.join(self.text.split())}, {name_of(self.zone)}"


def read_rrule(definition: Mapping[str, Any]) -> RuleTimes:
    text = definition["rrule"]
    if not is_text(text) or len(text) > LONGEST_RRULE:
        raise ScheduleError(f"A recurrence rule is a text of at most {LONGEST_RRULE} characters.", "rrule")
    # In iCalendar, a line that begins with a blank continues the line before it.
    lines = [_line(line) for line in re.sub(r"\r?\n[ \t]", "", text).split()]
    # A start with a zone of its own sets the zone of the rule.
    named = next((one.zone for one in lines if one.name == "DTSTART" and one.zone), None)
    zone = zone_of(named, "rrule") if named else zone_of(definition.get("timezone"))
    try:
        return RuleTimes(_series(lines, zone), zone, text, any(one.name == "DTSTART" for one in lines))
    except OverflowError:
        raise ScheduleError("A date of a recurrence rule lies before the year 1 or after 9999.", "rrule") from None


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    value: str
    zone: str | None = None
    dates: list[datetime | date] = field(default_factory=list)


def _line(text: str) -> Line:
    head, colon, value = text.partition(":")
    if not colon:
        return Line("RRULE", text)
    name, *parameters = head.split(";")
    name = name.upper()
    if name not in (*DATED, "RRULE", "EXRULE"):
        raise ScheduleError(f"{name} is not a line of a recurrence rule.", "rrule")
    zone = next((one[5:].strip('"') for one in parameters if one.upper().startswith("TZID=")), None)
    return Line(name, value, zone, [_date(one, name) for one in value.split(",")] if name in DATED else [])


def _date(text: str, name: str) -> datetime | date:
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ScheduleError(f"{name} has {text!r}, which is not a date such as 20260105T060000.", "rrule") from None
    return moment if "T" in text.upper() or ":" in text else moment.date()


def _series(lines: list[Line], zone: tzinfo) -> Series:
    def walls_of(name: str) -> list[datetime]:
        return [_wall(one, line, zone) for line in lines if line.name == name for one in line.dates]

    starts = walls_of("DTSTART")
    if len(starts) > 1:
        raise ScheduleError("A recurrence rule has one DTSTART.", "rrule")
    are_days = _are_days(lines)
    rules = _rules(lines, "RRULE", zone, are_days)
    exceptions = [(one, line) for line in lines if line.name == "EXDATE" for one in line.dates]
    dates = sorted((first_moment(wall, zone), wall) for wall in walls_of("RDATE"))
    if not rules and not dates:
        raise ScheduleError("A recurrence rule has an RRULE such as FREQ=DAILY, or an RDATE.", "rrule")
    return Series(
        zone=zone,
        start=starts[0] if starts else ORIGIN,
        rules=rules,
        dates=tuple(dates),
        except_rules=_rules(lines, "EXRULE", zone, are_days),
        left_out=frozenset(
            first_moment(_wall(one, line, zone), zone) for one, line in exceptions if isinstance(one, datetime)
        ),
        days_left_out=frozenset(
            _day(one, line, zone) for one, line in exceptions if are_days or not isinstance(one, datetime)
        ),
    )


def _are_days(lines: list[Line]) -> bool:
    """Whether it starts on a day without a time, and no rule names times of day."""
    begins = [one for line in lines if line.name == "DTSTART" for one in line.dates]
    named = any(NAMES_TIMES.search(line.value) for line in lines if line.name in ("RRULE", "EXRULE"))
    return bool(begins) and not isinstance(begins[0], datetime) and not named


def _rules(lines: list[Line], name: str, zone: tzinfo, are_days: bool) -> tuple[Rule, ...]:
    texts = (line.value for line in lines if line.name == name)
    return tuple(read_rule(ended_by_day(one) if are_days else one, zone, "rrule") for one in texts)


def _day(given: datetime | date, line: Line, zone: tzinfo) -> date:
    """Return the excluded day of an exception. Programs write midnight in any zone, or the day's first moment."""
    if not isinstance(given, datetime) or given.time() == time():
        return date(given.year, given.month, given.day)
    return _wall(given, line, zone).date()


def _wall(given: datetime | date, line: Line, zone: tzinfo) -> datetime:
    """Return the local time in `zone`, for a time in any zone."""
    if not isinstance(given, datetime):
        return datetime.combine(given, time())
    if given.tzinfo is None and line.zone:
        given = first_moment(given, zone_of(line.zone, "rrule"))
    return given if given.tzinfo is None else wall_of(given, zone)
