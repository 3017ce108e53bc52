"""Recurrence rules: known days, dateutil as another opinion, and work that ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, given
from hypothesis import strategies as st

from deployments.schedules.core import expansion, read_definition
from deployments.schedules.core.expansion import walls
from deployments.schedules.core.rules import WEEKDAYS, read_rule
from tests.core.clocks import DAY, every_time, once_each, places, utc
from tests.rounds import THOROUGH, examples

KNOWN = [
    # what is shown, rule, zone, after, the local times that follow
    (
        "without a beginning it counts from 2020, at midnight",
        ("FREQ=DAILY;INTERVAL=2", "Europe/Berlin", "2026-01-05T12:00+01:00"),
        ["2026-01-07T00:00+01:00", "2026-01-09T00:00+01:00"],
    ),
    (
        "a time in the gap comes when clocks have jumped",
        ("DTSTART:20260301T023000\nRRULE:FREQ=DAILY", "America/New_York", "2026-03-07T12:00-05:00"),
        ["2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"],
    ),
    (
        "a repeated time comes once",
        ("DTSTART:20260301T013000\nRRULE:FREQ=DAILY", "America/New_York", "2026-10-31T12:00-04:00"),
        ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"],
    ),
    (
        "hours are elapsed time",
        ("DTSTART:20260301T003000\nRRULE:FREQ=HOURLY;INTERVAL=2", "Europe/Berlin", "2026-10-25T00:00+02:00"),
        ["2026-10-25T01:30+02:00", "2026-10-25T02:30+01:00", "2026-10-25T04:30+01:00"],
    ),
    (
        "the zone of the beginning is the zone of the rule",
        ("DTSTART;TZID=Europe/Berlin:20260301T060000\nRRULE:FREQ=DAILY", "UTC", "2026-03-28T12:00+01:00"),
        ["2026-03-29T06:00+02:00", "2026-03-30T06:00+02:00"],
    ),
    (
        "an end in UTC is that moment",
        ("DTSTART:20260301T060000\nRRULE:FREQ=DAILY;UNTIL=20260303T050000Z", "Europe/Berlin", "2026-03-01T12:00+01:00"),
        ["2026-03-02T06:00+01:00", "2026-03-03T06:00+01:00"],
    ),
    (
        "an end without a time includes its day",
        ("DTSTART:20260301T060000\nRRULE:FREQ=DAILY;UNTIL=20260303", "Europe/Berlin", "2026-03-01T12:00+01:00"),
        ["2026-03-02T06:00+01:00", "2026-03-03T06:00+01:00"],
    ),
    (
        "a number of times is counted from the beginning",
        ("DTSTART:20260301T060000Z\nRRULE:FREQ=DAILY;COUNT=3", "UTC", "2026-03-01T12:00+00:00"),
        ["2026-03-02T06:00+00:00", "2026-03-03T06:00+00:00"],
    ),
    (
        "dates are added and left out",
        (
            "DTSTART:20260301T060000\nRRULE:FREQ=DAILY;COUNT=4\nRDATE:20260310T070000,20260302T060000\n"
            "EXDATE:20260303T060000\nEXRULE:FREQ=DAILY;INTERVAL=3;COUNT=2",
            "UTC",
            "2026-02-01T12:00+00:00",
        ),
        ["2026-03-02T06:00+00:00", "2026-03-10T07:00+00:00"],
    ),
    (
        "a date without a time leaves out its day",
        (
            "DTSTART:20260301T060000\nRRULE:FREQ=DAILY;BYHOUR=6,18;COUNT=6\nEXDATE;VALUE=DATE:20260302",
            "America/New_York",
            "2026-03-01T12:00-05:00",
        ),
        ["2026-03-01T18:00-05:00", "2026-03-03T06:00-05:00", "2026-03-03T18:00-05:00"],
    ),
    (
        "the last of some whole days comes west of Greenwich, and one is left out by its midnight or by its beginning",
        (
            "DTSTART;VALUE=DATE:20260301\nRRULE:FREQ=DAILY;UNTIL=20260306T000000Z\n"
            "EXDATE:20260302T000000Z,20260303T050000Z,20260304T000000",
            "America/New_York",
            "2026-02-28T12:00-05:00",
        ),
        ["2026-03-01T00:00-05:00", "2026-03-05T00:00-05:00", "2026-03-06T00:00-05:00"],
    ),
    (
        "among whole days with times a date with a time leaves out that time alone",
        (
            "DTSTART;VALUE=DATE:20260301\nRRULE:FREQ=DAILY;BYHOUR=6,18\nEXDATE:20260302T060000",
            "UTC",
            "2026-03-01T12:00+00:00",
        ),
        ["2026-03-01T18:00+00:00", "2026-03-02T18:00+00:00"],
    ),
    (
        "a zone may stand in quotes",
        ('DTSTART;TZID="Europe/Berlin":20260301T060000\nRRULE:FREQ=DAILY', "UTC", "2026-03-01T12:00+01:00"),
        ["2026-03-02T06:00+01:00"],
    ),
    (
        "what a rule means anyway may be said",
        ("FREQ=MONTHLY;BYMONTHDAY=31;RSCALE=GREGORIAN;SKIP=OMIT", "UTC", "2026-01-05T12:00+00:00"),
        ["2026-01-31T00:00+00:00", "2026-03-31T00:00+00:00"],
    ),
    (
        "the last Friday of each month, in two lines folded by a calendar program",
        ("DTSTART:20260101T060000\r\nRRULE:FREQ=MONTHLY;\r\n BYDAY=-1FR", "UTC", "2026-01-05T12:00+00:00"),
        ["2026-01-30T06:00+00:00", "2026-02-27T06:00+00:00"],
    ),
    (
        "29 February",
        ("DTSTART:20240229T060000\nRRULE:FREQ=YEARLY", "UTC", "2026-01-05T12:00+00:00"),
        ["2028-02-29T06:00+00:00", "2032-02-29T06:00+00:00"],
    ),
    (
        "29 February on a Sunday",
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU", "UTC", "2080-03-01T00:00+00:00"),
        ["2088-02-29T00:00+00:00", "2128-02-29T00:00+00:00"],
    ),
    (
        "Good Friday",
        ("FREQ=YEARLY;BYEASTER=-2", "UTC", "2026-01-05T12:00+00:00"),
        ["2026-04-03T00:00+00:00", "2027-03-26T00:00+00:00"],
    ),
    (
        "the last working day of a month",
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "UTC", "2026-01-05T12:00+00:00"),
        ["2026-01-30T00:00+00:00", "2026-02-27T00:00+00:00"],
    ),
    (
        "week 53 has a Friday on 1 January",
        ("FREQ=YEARLY;BYWEEKNO=53;BYDAY=FR", "UTC", "2026-01-05T12:00+00:00"),
        ["2027-01-01T00:00+00:00", "2032-12-31T00:00+00:00"],
    ),
]


@pytest.mark.parametrize(("asked", "expected"), [pytest.param(*row[1:], id=row[0]) for row in KNOWN])
def test_known_times(asked, expected):
    text, name, after = asked
    timetable = read_definition({"rrule": text, "timezone": name})

    times = list(islice(timetable.after(datetime.fromisoformat(after)), len(expected)))

    assert times == [datetime.fromisoformat(text) for text in expected]


def test_an_end_ends_it():
    rule = read_definition({"rrule": "DTSTART:20260301T060000\nRRULE:FREQ=HOURLY;UNTIL=20260301T100000"})

    assert list(rule.after(utc(2026, 3, 1, 7))) == [utc(2026, 3, 1, 8), utc(2026, 3, 1, 9), utc(2026, 3, 1, 10)]


@pytest.mark.parametrize(
    "text",
    [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=31",
        "FREQ=WEEKLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=4;BYYEARDAY=366",
        "FREQ=HOURLY;INTERVAL=24;BYHOUR=5",
        "FREQ=MINUTELY;INTERVAL=1440;BYHOUR=5",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=SECONDLY;INTERVAL=60;BYSECOND=7",
        "FREQ=DAILY;INTERVAL=7;BYDAY=MO;BYSETPOS=2",
        "FREQ=YEARLY;BYDAY=MO;BYSETPOS=366",
    ],
)
def test_a_rule_that_never_comes_ends_the_search(text, monkeypatch):
    monkeypatch.setattr(expansion, "MOST_IN_VAIN", expansion.MOST_IN_VAIN // (1 if THOROUGH else 10))
    timetable = read_definition({"rrule": text})

    assert list(timetable.after(utc(2026, 1, 1))) == []


@pytest.mark.parametrize("text", ["FREQ=SECONDLY", "FREQ=MINUTELY;BYHOUR=5", "FREQ=SECONDLY;BYDAY=MO", "FREQ=DAILY"])
def test_a_rule_that_began_long_ago_is_entered_where_it_is_asked(text):
    timetable = read_definition({"rrule": f"DTSTART:19000101T000000\nRRULE:{text}"})

    assert len(list(islice(timetable.after(utc(3000, 1, 1)), 100))) == 100


@pytest.mark.parametrize("number", [1, 2, 51, 52, 53])
def test_weeks_are_those_of_the_iso_calendar(number):
    begin = datetime(1990, 1, 1)  # noqa: DTZ001
    rule = read_rule(f"FREQ=YEARLY;BYWEEKNO={number}", ZoneInfo("UTC"), "rrule")
    rule = replace(rule, weekdays=frozenset((0, day) for day in range(7)))

    # After 28 years each date is the same day of the week again.
    found = list(takewhile(lambda wall: wall.year < 2018, walls(rule, begin, begin)))

    every_day = (begin + day * DAY for day in range(366 * 28))
    assert found == [day for day in every_day if day.isocalendar().week == number and day.year < 2018]


NUMBERS = {"BYMONTH": (1, 12), "BYMONTHDAY": (-31, 31), "BYHOUR": (0, 23), "BYMINUTE": (0, 59), "BYSECOND": (0, 59)}
YEARLY = {"BYYEARDAY": (-366, 366), "BYWEEKNO": (2, 51)}


@st.composite
def rules(draw):
    """Rules that dateutil understands as we do. It lets only days come that are both FR and 1FR, where RFC 5545 means
    either, counts positions within the first week from its beginning on, and miscounts the weeks of the year before."""
    freq = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"]))
    parts = [f"FREQ={freq}", f"INTERVAL={draw(st.sampled_from([1, 1, 2, 3, 5, 12]))}"]
    known = {**NUMBERS, **(YEARLY if freq == "YEARLY" else {})}
    chosen = draw(st.lists(st.sampled_from(sorted(known)), max_size=2, unique=True))
    for name in chosen:
        numbers = st.integers(*known[name]).filter(bool) if known[name][0] else st.integers(*known[name])
        parts.append(f"{name}={','.join(map(str, draw(st.lists(numbers, min_size=1, max_size=4, unique=True))))}")
    if draw(st.booleans()):
        numbered = freq in {"YEARLY", "MONTHLY"} and "BYWEEKNO" not in chosen and draw(st.booleans())
        number = st.sampled_from(["1", "2", "-1"] if numbered else [""])
        days = draw(st.lists(st.tuples(number, st.sampled_from(sorted(WEEKDAYS))), min_size=1, max_size=3, unique=True))
        parts.append("BYDAY=" + ",".join(f"{number}{day}" for number, day in days))
    if freq != "WEEKLY" and len(parts) > 2 and draw(st.booleans()):
        parts.append(f"BYSETPOS={draw(st.sampled_from([1, 2, -1, -2]))}")
    parts.append(f"WKST={draw(st.sampled_from(sorted(WEEKDAYS)))}")
    if draw(st.booleans()):
        parts.append(f"COUNT={draw(st.integers(1, 20))}")
    return ";".join(parts)


starts = st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(microsecond=0))  # noqa: DTZ001


@examples(4, 1500)
@given(text=rules(), start=starts, skipped=st.integers(0, 10))
def test_rules_mean_what_they_mean_to_dateutil(text, start, skipped):
    ours = list(islice(walls(read_rule(text, ZoneInfo("UTC"), "rrule"), start, start), 12))
    # Of a rule that has no more times, dateutil would search for minutes.
    assume(ours)

    assert ours == list(islice(rrulestr(text, dtstart=start), len(ours)))
    # Entered later, it goes on in the same way.
    if "COUNT" not in text:
        begin = ours[min(skipped, len(ours) - 1)]
        again = (wall for wall in walls(read_rule(text, ZoneInfo("UTC"), "rrule"), start, begin) if wall >= begin)
        assert list(islice(again, 3))[: len(ours) - ours.index(begin)] == ours[ours.index(begin) :][:3]


@examples(4, 400)
@given(hours=st.frozensets(st.integers(0, 4), min_size=1, max_size=3), minute=st.integers(0, 59), place=places())
def test_named_times_are_those_that_a_walk_through_all_minutes_finds(hours, minute, place):
    name, start = place
    text = f"FREQ=DAILY;BYHOUR={','.join(map(str, hours))};BYMINUTE={minute};BYSECOND=0"
    timetable = read_definition({"rrule": f"DTSTART:19700101T000000\nRRULE:{text}", "timezone": name})

    times = list(takewhile(lambda at: at < start + 1.5 * DAY, timetable.after(start, inclusive=True)))

    assert times == once_each(lambda at: at.hour in hours and at.minute == minute, ZoneInfo(name), start, 1.5)


@examples(4, 400)
@given(minutes=st.frozensets(st.integers(0, 59), min_size=1, max_size=3), place=places())
def test_by_the_hour_no_hour_is_left_out_or_doubled(minutes, place):
    name, start = place
    text = f"FREQ=HOURLY;BYMINUTE={','.join(map(str, minutes))}"
    timetable = read_definition({"rrule": f"DTSTART:19700101T000000\nRRULE:{text}", "timezone": name})

    times = list(takewhile(lambda at: at < start + 1.5 * DAY, timetable.after(start, inclusive=True)))

    assert times == every_time(lambda at: at.minute in minutes, ZoneInfo(name), start, 1.5)
    assert all(later - at <= timedelta(hours=2) for at, later in zip(times, times[1:], strict=False))
