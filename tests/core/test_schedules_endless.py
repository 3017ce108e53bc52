"""Rules that ask for years of work are refused, or end, in a moment."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice

import pytest

from deployments.schedules.core import ScheduleError, expansion, read_definition, series
from deployments.schedules.core.calendars import Exclusions
from tests.core.clocks import utc
from tests.core.test_schedules_ics import document, event
from tests.rounds import THOROUGH

NOW = utc(2026, 11, 21)


# In a brief round documents are shorter, and may take as many steps less.
PART = 1 if THOROUGH else 25


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A fifth of what strangers are given: what never ends does not end sooner for waiting longer."""
    monkeypatch.setattr(expansion, "MOST_STEPS", expansion.MOST_STEPS // 5)


@pytest.fixture
def _little_patience(monkeypatch):
    monkeypatch.setattr(expansion, "MOST_STEPS", expansion.MOST_STEPS // PART)


def first_times(count=60, **definition):
    return list(islice(read_definition({"timezone": "UTC", **definition}).after(NOW), count))


def numbers(most):
    return ",".join(map(str, range(most)))


ALL_SECONDS = f"BYHOUR={numbers(24)};BYMINUTE={numbers(60)};BYSECOND={numbers(60)}"


@pytest.mark.parametrize("freq", ["SECONDLY", "MINUTELY", "HOURLY", "DAILY"])
def test_a_rule_that_excepts_all_its_times_is_refused(freq, monkeypatch):
    monkeypatch.setattr(series, "MOST_LEFT_OUT", series.MOST_LEFT_OUT // PART)

    with pytest.raises(ScheduleError, match="in a row"):
        first_times(rrule=f"RRULE:FREQ={freq}\nEXRULE:FREQ={freq}")


def test_exceptions_that_count_are_followed_once():
    times = first_times(rrule="RRULE:FREQ=DAILY\nEXRULE:FREQ=DAILY;COUNT=2520", count=2)

    assert times == [utc(2026, 11, 25), utc(2026, 11, 26)]


def test_exceptions_hold_in_an_hour_that_comes_twice():
    rule = "DTSTART;TZID=Europe/Berlin:20261025T020000\nRRULE:FREQ=MINUTELY;COUNT=240\nEXRULE:FREQ=MINUTELY;INTERVAL=2"
    timetable = read_definition({"rrule": rule, "timezone": "Europe/Berlin"})

    times = list(timetable.after(utc(2026, 10, 24)))

    assert {at.minute % 2 for at in times} == {1}
    assert len(times) == 120


@pytest.mark.usefixtures("_little_patience")
@pytest.mark.parametrize(
    "rrule",
    [
        "\n".join(["RRULE:FREQ=MINUTELY;COUNT=100000;BYHOUR=3"] * (50 // PART)),
        "\n".join(["RRULE:FREQ=DAILY"] * 51),
        f"RRULE:FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;{ALL_SECONDS};BYSETPOS=1",
        "DTSTART;TZID=Asia/Tokyo:00010101T000000\nRRULE:FREQ=DAILY",
    ],
)
def test_rules_that_take_too_long_are_refused(rrule):
    with pytest.raises(ScheduleError):
        first_times(rrule=rrule)


def many(number, *lines):
    return document(*(event(*lines, uid=str(one)) for one in range(number)))


CLOCKS = (
    *("BEGIN:STANDARD", "DTSTART:19700101T000000", "TZOFFSETFROM:+0100", "TZOFFSETTO:+0200"),
    *("RRULE:FREQ=YEARLY;BYDAY=-1SU", "END:STANDARD"),
)


@pytest.mark.usefixtures("_little_patience")
@pytest.mark.parametrize(
    "text",
    [
        "BEGIN:VTIMEZONE\r\n" * (50_000 // PART),
        many(1500 // PART, "DTSTART:20200101T000000Z", "RRULE:FREQ=SECONDLY;BYHOUR=0;COUNT=100000"),
        many(1500 // PART, "DTSTART:00010101T000000", "RRULE:FREQ=DAILY;COUNT=100000"),
        many(1, "DTSTART:20200101T000000Z", *["RRULE:FREQ=DAILY"] * (10_000 // PART)),
        many(1, "DTSTART:20200101T000000Z", "RRULE:FREQ=DAILY", *["EXRULE:FREQ=WEEKLY"] * (10_000 // PART)),
        document(
            *("BEGIN:VTIMEZONE", "TZID:elsewhere", *CLOCKS * 400, "END:VTIMEZONE"),
            event("DTSTART;TZID=elsewhere:20300101T000000"),
        ),
        document(
            *("BEGIN:VTIMEZONE", "TZID:elsewhere", *CLOCKS * (5000 // PART), "END:VTIMEZONE"),
            event("DTSTART;TZID=elsewhere:20300101T000000"),
        ),
    ],
    ids=["unclosed zones", "counted seconds", "counted days", "rules", "exceptions", "clocks", "more clocks"],
)
def test_calendars_that_take_too_long_are_refused(text):
    with pytest.raises(ScheduleError):
        first_times(ics=text, timezone=None)


@pytest.mark.usefixtures("_little_patience")
def test_a_calendar_of_events_that_cover_each_other_is_refused_when_it_is_asked():
    excluded = Exclusions.from_ics(
        [many(1500 // PART, "DTSTART:20200101T000000Z", "RRULE:FREQ=HOURLY", "DURATION:P365D")]
    )

    with pytest.raises(ScheduleError):
        excluded.covers(NOW + timedelta(days=1))
