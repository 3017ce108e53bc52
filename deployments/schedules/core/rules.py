"""Recurrence rules (RFC 5545), parsed from text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, tzinfo
from enum import IntEnum
from itertools import product

from deployments.schedules.core.errors import ScheduleError
from deployments.schedules.core.zones import wall_of

WEEKDAYS = {"MO": 0, "TU": 1, "WE": 2, "TH": 3, "FR": 4, "SA": 5, "SU": 6}
# A rule with COUNT must be followed from its start every time.
MOST_COUNTED = 100_000
DAYS = {"YEARLY": 366, "MONTHLY": 31, "WEEKLY": 7}
MOST_TOGETHER = 100_000
# Minimum and maximum, and whether negative numbers count from the end.
RANGES = {
    "BYMONTH": (1, 12, False),
    "BYWEEKNO": (1, 53, True),
    "BYYEARDAY": (1, 366, True),
    "BYMONTHDAY": (1, 31, True),
    "BYHOUR": (0, 23, False),
    "BYMINUTE": (0, 59, False),
    "BYSECOND": (0, 59, False),
    "BYSETPOS": (1, 366, True),
    "BYEASTER": (0, 366, True),
}
# Parts of RFC 7529, accepted only with the value that is the default.
IMPLIED = {"RSCALE": "GREGORIAN", "SKIP": "OMIT"}
KNOWN = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", "BYWEEKDAY", *RANGES, *IMPLIED}
MIDNIGHT = re.compile(r"UNTIL=(\d{8})T000000Z?", re.IGNORECASE)


class Freq(IntEnum):
    YEARLY = 0
    MONTHLY = 1
    WEEKLY = 2
    DAILY = 3
    HOURLY = 4
    MINUTELY = 5
    SECONDLY = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One RRULE. `until` is a local time. Weekdays have their number within the month or year, or 0 for all."""

    freq: Freq
    interval: int = 1
    count: int | None = None
    until: datetime | None = None
    week_start: int = 0
    months: frozenset[int] = frozenset()
    weeks: frozenset[int] = frozenset()
    year_days: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    weekdays: frozenset[tuple[int, int]] = frozenset()
    easter_days: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    minutes: frozenset[int] = frozenset()
    seconds: frozenset[int] = frozenset()
    positions: tuple[int, ...] = ()

    @property
    def names_days(self) -> bool:
        return bool(self.weeks or self.year_days or self.month_days or self.weekdays or self.easter_days)

    @property
    def is_an_interval(self) -> bool:
        """Whether it is a plain interval of hours, minutes or seconds."""
        named = self.names_days or self.months or self.hours or self.minutes or self.seconds or self.positions
        return self.freq >= Freq.HOURLY and not named

    @property
    def counts_elapsed_time(self) -> bool:
        return self.freq >= Freq.HOURLY and not self.hours

    def times(self, start: datetime) -> list[time]:
        """Return the times of day of a rule by days or longer periods. Parts without a value are those of its start."""
        hours, minutes, seconds = (
            sorted(given or {of_start})
            for given, of_start in (
                (self.hours, start.hour),
                (self.minutes, start.minute),
                (self.seconds, start.second),
            )
        )
        return [time(*one) for one in product(hours, minutes, seconds)]


def read_rule(text: str, zone: tzinfo, field: str) -> Rule:
    """Return the rule of a text such as FREQ=DAILY;COUNT=3. `zone` is the zone of its local times."""

    def wrong(why: str) -> ScheduleError:
        return ScheduleError(f"{_shortened(text)} is not a recurrence rule: {why}.", field)

    parts = _parts(text, wrong)
    _refuse_crowds(parts, wrong)
    weekdays = parts.get("BYDAY", parts.get("BYWEEKDAY"))
    return Rule(
        freq=_freq(parts, wrong),
        interval=_number(parts, "INTERVAL", 10**9, wrong) or 1,
        count=_number(parts, "COUNT", MOST_COUNTED, wrong),
        until=_until(parts["UNTIL"], zone, wrong) if "UNTIL" in parts else None,
        week_start=_weekday(parts.get("WKST", "MO"), wrong)[1],
        weekdays=frozenset(_weekday(one, wrong) for one in weekdays.split(",")) if weekdays else frozenset(),
        months=_numbers(parts, "BYMONTH", wrong),
        weeks=_numbers(parts, "BYWEEKNO", wrong),
        year_days=_numbers(parts, "BYYEARDAY", wrong),
        month_days=_numbers(parts, "BYMONTHDAY", wrong),
        easter_days=_numbers(parts, "BYEASTER", wrong),
        hours=_numbers(parts, "BYHOUR", wrong),
        minutes=_numbers(parts, "BYMINUTE", wrong),
        seconds=_numbers(parts, "BYSECOND", wrong),
        positions=tuple(sorted(_numbers(parts, "BYSETPOS", wrong))),
    )


def ended_by_day(text: str) -> str:
    """Return the text of a rule of whole days. Programs write UNTIL as midnight of the last day, in any zone."""
    return MIDNIGHT.sub(r"UNTIL=\1", text)


Wrong = Callable[[str], ScheduleError]


def _refuse_crowds(parts: Mapping[str, str], wrong: Wrong) -> None:
    """Refuse rules with too many times in one period, which are all computed to count positions among them."""
    times = DAYS.get(parts.get("FREQ", ""), 1)
    for name in ("BYHOUR", "BYMINUTE", "BYSECOND"):
        times *= len(_numbers(parts, name, wrong)) or 1
    if times > MOST_TOGETHER:
        raise wrong(
            f"it names more than {MOST_TOGETHER} times at once; repeat it more often, with FREQ=DAILY or HOURLY"
        )


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def _parts(text: str, wrong: Wrong) -> Mapping[str, str]:
    parts: dict[str, str] = {}
    for part in filter(None, "".join(text.split()).upper().split(";")):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise wrong(f"{part!r} is not of the form NAME=VALUE")
        if name not in KNOWN:
            raise wrong(f"{name} is unknown")
        if name in parts:
            raise wrong(f"{name} comes twice")
        parts[name] = value
    for name, implied in IMPLIED.items():
        if parts.pop(name, implied) != implied:
            raise wrong(f"{name} must be {implied}, or be left out")
    if {"COUNT", "UNTIL"} <= parts.keys():
        raise wrong("COUNT and UNTIL exclude each other")
    return parts


def _freq(parts: Mapping[str, str], wrong: Wrong) -> Freq:
    try:
        return Freq[parts["FREQ"]]
    except KeyError:
        raise wrong(f"FREQ must be one of {', '.join(Freq.__members__)}") from None


def _number(parts: Mapping[str, str], name: str, most: int, wrong: Wrong) -> int | None:
    if name not in parts:
        return None
    number = _int(parts[name], name, wrong)
    if not 1 <= number <= most:
        raise wrong(f"{name} is a number from 1 to {most}")
    return number


def _numbers(parts: Mapping[str, str], name: str, wrong: Wrong) -> frozenset[int]:
    if name not in parts:
        return frozenset()
    least, most, from_the_end = RANGES[name]
    numbers = frozenset(_int(one, name, wrong) for one in parts[name].split(","))
    for number in numbers:
        if not least <= (abs(number) if from_the_end else number) <= most:
            raise wrong(f"{number} is not a valid {name}")
    return numbers


def _int(text: str, name: str, wrong: Wrong) -> int:
    digits = text.strip().removeprefix("+").removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 12):
        raise wrong(f"{text!r} in {name} is not a number")
    return int(text)


def _weekday(text: str, wrong: Wrong) -> tuple[int, int]:
    """Return number and weekday from 2MO or MO(+2)."""
    day, _, bracketed = text.strip().partition("(")
    number, day = (bracketed.rstrip(")"), day) if bracketed else (day[:-2], day[-2:])
    if day not in WEEKDAYS:
        raise wrong(f"{text!r} is not a weekday such as MO or 2MO")
    place = _int(number, "BYDAY", wrong) if number else 0
    if abs(place) > 53 or (number and not place):
        raise wrong(f"{text!r} counts weekdays wrongly")
    return place, WEEKDAYS[day]


def _until(text: str, zone: tzinfo, wrong: Wrong) -> datetime:
    """Return the last local time. A date without a time includes that day."""
    try:
        until = datetime.fromisoformat(text)
        if until.tzinfo is not None:
            return wall_of(until, zone)
    except (ValueError, OverflowError):
        raise wrong(f"UNTIL={text} is not a date such as 20261231 or 20261231T235959Z") from None
    return until if "T" in text else datetime.combine(until, time(23, 59, 59))
