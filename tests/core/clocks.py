"""Brute force to compare schedules with: a walk through every minute, looking at what clocks show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import strategies as st

from tests.rounds import THOROUGH

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
YEARS = range(1975, 2038)
# Half-hour and midnight changes, a day that was left out, offsets with minutes, and changes within months.
NOTED = [
    *(
        "America/New_York",
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "America/Sao_Paulo",
        "Asia/Kathmandu",
    ),
    *("America/Havana", "Africa/Cairo", "Africa/Casablanca", "Asia/Tehran", "America/St_Johns", "Asia/Gaza", "UTC"),
    *("Antarctica/Troll", "Pacific/Kwajalein", "Pacific/Chatham", "Europe/Dublin", "Asia/Pyongyang", "America/Caracas"),
]
ZONES = NOTED if not THOROUGH else sorted(available_timezones() - {"Factory", "localtime"})


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def minutes_from(moment, days):
    return (moment + number * MINUTE for number in range(int(days * 1440)))


def shown(moment, zone):
    return moment.astimezone(zone).replace(tzinfo=None)


def every_time(matches, zone, start, days):
    """Each minute at which clocks show what is looked for."""
    return [moment for moment in minutes_from(start, days) if matches(shown(moment, zone))]


def once_each(matches, zone, start, days):
    """Minutes as in `every_time`, but a repeated hour does not count, and a skipped one counts after the jump."""
    # A little earlier, to know what has been shown already when it starts.
    before = DAY / 4
    latest, found = shown(start - before - MINUTE, zone), []
    for moment in minutes_from(start - before, days + 0.25):
        local = shown(moment, zone)
        passed = minutes_between(latest, local)
        latest = max(latest, local)
        if moment >= start and any(matches(wall) for wall in passed):
            found.append(moment)
    return found


def minutes_between(latest, local):
    """After `latest`, up to `local`: one usually, more after a jump, none when clocks were put back."""
    return [latest + number * MINUTE for number in range(1, int((local - latest) / MINUTE) + 1)]


@lru_cache(maxsize=4096)
def changes(name, year):
    """The hours of a year in which clocks are moved."""
    zone = ZoneInfo(name)
    days = [utc(year, 1, 1) + number * DAY for number in range(365)]
    return [
        day + hour * HOUR
        for day in days
        if moved(zone, day, DAY)
        for hour in range(24)
        if moved(zone, day + hour * HOUR, HOUR)
    ]


def moved(zone, begin, length):
    return begin.astimezone(zone).utcoffset() != (begin + length).astimezone(zone).utcoffset()


@st.composite
def places(draw):
    """A zone, and a moment from which on things may happen: mostly a little before clocks are moved."""
    name, year = draw(st.sampled_from(ZONES)), draw(st.sampled_from(YEARS))
    at_changes = changes(name, year)
    if not at_changes or not draw(st.integers(0, 3)):
        return name, utc(year, 1, 1) + draw(st.integers(0, 365 * 1440)) * MINUTE
    change = draw(st.sampled_from(at_changes))
    return name, change + draw(st.integers(-720, 90)) * MINUTE
