"""Cron lines over changes of clocks: known days, and any zone and year by brute force."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.schedules.core import read_definition
from tests.core.clocks import DAY, every_time, once_each, places, utc
from tests.rounds import examples

KNOWN = [
    # what is shown, cron, zone, after this local time, the local times that follow
    (
        "a time in the gap comes when clocks have jumped",
        ("30 2 * * *", "America/New_York", "2026-03-07T12:00"),
        ["2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"],
    ),
    (
        "a question mark for a day is any day",
        ("0 12 ? * MON", "UTC", "2026-01-05T12:00"),
        ["2026-01-12T12:00+00:00", "2026-01-19T12:00+00:00"],
    ),
    (
        "several times in the gap are one",
        ("*/15 2 * * *", "America/New_York", "2026-03-07T12:00"),
        ["2026-03-08T03:00-04:00", "2026-03-09T02:00-04:00"],
    ),
    (
        "one that falls on the end of the gap is not doubled",
        ("0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00"),
        ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00", "2026-03-30T03:00+02:00"],
    ),
    (
        "a repeated time comes once, the first time",
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00"),
        ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"],
    ),
    (
        "hourly: no hour is left out in spring",
        ("0 * * * *", "Europe/Berlin", "2026-03-29T00:30"),
        ["2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"],
    ),
    (
        "hourly: the repeated hour comes twice in autumn, an hour apart",
        ("0 * * * *", "Europe/Berlin", "2026-10-25T01:30"),
        ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"],
    ),
    (
        "hourly: what is to be repeated lies ahead, though clocks have passed it",
        ("10 * * * *", "Europe/Berlin", "2026-10-25T02:50"),
        ["2026-10-25T02:10+01:00", "2026-10-25T03:10+01:00"],
    ),
    (
        "every second hour: what is named comes once",
        ("0 */2 * * *", "Europe/Berlin", "2026-10-25T00:30"),
        ["2026-10-25T02:00+02:00", "2026-10-25T04:00+01:00"],
    ),
    (
        "every second hour: in spring too",
        ("0 */2 * * *", "America/New_York", "2026-03-08T00:30"),
        ["2026-03-08T03:00-04:00", "2026-03-08T04:00-04:00"],
    ),
    (
        "clocks of Lord Howe jump by half an hour",
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00"),
        ["2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"],
    ),
    (
        "and what follows the half hour is not jumped over",
        ("40 * * * *", "Australia/Lord_Howe", "2026-10-04T01:00"),
        ["2026-10-04T01:40+10:30", "2026-10-04T02:40+11:00", "2026-10-04T03:40+11:00"],
    ),
    (
        "only half an hour comes twice there",
        ("*/20 * * * *", "Australia/Lord_Howe", "2026-04-05T01:30"),
        ["2026-04-05T01:40+11:00", "2026-04-05T01:40+10:30", "2026-04-05T02:00+10:30"],
    ),
    (
        "Apia left out a day",
        ("0 6 * * *", "Pacific/Apia", "2011-12-28T12:00"),
        ["2011-12-29T06:00-10:00", "2011-12-31T00:00+14:00", "2011-12-31T06:00+14:00"],
    ),
    (
        "midnight does not exist everywhere",
        ("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00"),
        ["2018-11-04T01:00-02:00", "2018-11-05T00:00-02:00"],
    ),
    (
        "29 February",
        ("0 6 29 2 *", "Europe/Berlin", "2026-01-01T00:00"),
        ["2028-02-29T06:00+01:00", "2032-02-29T06:00+01:00"],
    ),
    (
        "the end of a year",
        ("59 23 31 12 *", "Asia/Kathmandu", "2026-12-31T23:58"),
        ["2026-12-31T23:59+05:45", "2027-12-31T23:59+05:45"],
    ),
    (
        "seconds are the first of six fields",
        ("*/20 59 23 31 12 *", "UTC", "2026-12-31T23:59:10"),
        ["2026-12-31T23:59:20+00:00", "2026-12-31T23:59:40+00:00", "2027-12-31T23:59:00+00:00"],
    ),
    (
        "seconds in the gap are one",
        ("*/20 30 2 * * *", "Europe/Berlin", "2026-03-28T12:00"),
        ["2026-03-29T03:00+02:00", "2026-03-30T02:30:00+02:00", "2026-03-30T02:30:20+02:00"],
    ),
    (
        "day of month or day of week",
        ("0 0 13 * FRI", "UTC", "2026-02-07T00:00"),
        ["2026-02-13T00:00+00:00", "2026-02-20T00:00+00:00"],
    ),
    ("the last weekday", ("0 9 LW * *", "UTC", "2026-01-15T00:00"), ["2026-01-30T09:00+00:00"]),
    ("the second Monday", ("0 9 * * MON#2", "UTC", "2026-01-15T00:00"), ["2026-02-09T09:00+00:00"]),
    ("the last Friday", ("0 9 * * 5L", "UTC", "2026-01-15T00:00"), ["2026-01-30T09:00+00:00"]),
    ("7 is a Sunday", ("0 9 * * 7", "UTC", "2026-01-15T00:00"), ["2026-01-18T09:00+00:00"]),
    ("@hourly", ("@hourly", "UTC", "2026-01-15T00:10"), ["2026-01-15T01:00+00:00"]),
    ("@daily", ("@daily", "Europe/Berlin", "2026-01-15T00:10"), ["2026-01-16T00:00+01:00"]),
    ("@Midnight", ("@Midnight", "UTC", "2026-01-15T00:10"), ["2026-01-16T00:00+00:00"]),
    ("@weekly", ("@weekly", "UTC", "2026-01-15T00:10"), ["2026-01-18T00:00+00:00"]),
    ("@monthly", ("@monthly", "UTC", "2026-01-15T00:10"), ["2026-02-01T00:00+00:00"]),
    ("@yearly", ("@yearly", "UTC", "2026-01-15T00:10"), ["2027-01-01T00:00+00:00"]),
    ("@annually", ("@annually", "UTC", "2026-01-15T00:10"), ["2027-01-01T00:00+00:00"]),
]


def cron(text, zone="UTC", **more):
    return read_definition({"cron": text, "timezone": zone, **more})


@pytest.mark.parametrize(("asked", "expected"), [pytest.param(*row[1:], id=row[0]) for row in KNOWN])
def test_known_times(asked, expected):
    text, name, after = asked
    zone = ZoneInfo(name)

    times = list(islice(cron(text, name).after(datetime.fromisoformat(after).replace(tzinfo=zone)), len(expected)))

    assert [at.astimezone(zone).isoformat() for at in times] == [
        datetime.fromisoformat(t).isoformat() for t in expected
    ]


def test_both_days_must_match_with_day_or_false():
    times = list(islice(cron("0 0 13 * FRI", day_or=False).after(utc(2026, 1, 1)), 3))

    assert times == [utc(2026, 2, 13), utc(2026, 3, 13), utc(2026, 11, 13)]


@pytest.mark.parametrize("day_or", [True, False])
@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 0 30 2 *"])
def test_a_day_that_never_comes_ends_the_search(text, day_or):
    assert list(cron(text, day_or=day_or).after(utc(2026, 1, 1))) == []
    assert cron(text, day_or=day_or).describe() == "never"


def test_a_day_that_never_comes_because_both_must_fit_ends_the_search():
    assert list(cron("0 0 31 2 MON", day_or=False).after(utc(2026, 1, 1))) == []


def test_times_end_with_the_calendar_of_the_computer():
    assert list(cron("0 0 1 1 *", "Pacific/Apia").after(utc(9998, 6, 1))) == [utc(9998, 12, 31, 11)]
    assert list(cron("0 * * * *", "Pacific/Apia").after(utc(9999, 12, 31, 23))) == []


def test_a_time_itself_counts_only_if_asked_for():
    six, daily = utc(2026, 1, 5, 6), cron("0 6 * * *")

    assert next(daily.after(six)) == six + DAY
    assert next(daily.after(six, inclusive=True)) == six
    assert next(daily.after(six + timedelta(microseconds=1), inclusive=True)) == six + DAY


def test_a_moment_may_be_given_in_any_time_zone():
    repeated = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))

    assert next(cron("30 * * * *", "Europe/Berlin").after(repeated, inclusive=True)) == utc(2026, 10, 25, 1, 30)
    assert next(cron("30 * * * *", "Europe/Berlin").after(repeated)) == utc(2026, 10, 25, 2, 30)


CHANGES = [
    ("Europe/Berlin", utc(2026, 3, 27)),
    ("Europe/Berlin", utc(2026, 10, 23)),
    ("Australia/Lord_Howe", utc(2026, 4, 3)),
    ("America/Sao_Paulo", utc(2018, 11, 2)),
    ("Pacific/Apia", utc(2011, 12, 28)),
    ("Asia/Kolkata", utc(2026, 1, 30)),
]


@pytest.mark.parametrize(
    "line",
    ["*/10 7-20 * * *", "*/20 0-3,23 * * *", "7 2 * * 6,0", "15,45 * 28-31 * *", "30 0 L * *", "0 0,12 * 3-11 *"],
)
@pytest.mark.parametrize(("place", "day"), CHANGES)
def test_the_number_of_times_is_that_of_counting_them(line, place, day):
    timetable = read_definition({"cron": line, "timezone": place})
    begin = day + timedelta(minutes=37, seconds=5)
    named = list(takewhile(lambda at: at < begin + 6 * DAY, timetable.after(begin, inclusive=True)))
    ends = [begin + timedelta(hours=hours) for hours in (0, 1, 13, 37.5, 61, 144)]

    counted = [timetable.number_between(begin, end) for end in ends]

    assert counted == [sum(at < end for at in named) for end in ends]


def test_the_end_of_a_gap_itself_counts_if_asked_for():
    gap = utc(2026, 3, 8, 7)

    assert next(cron("30 2 * * *", "America/New_York").after(gap, inclusive=True)) == gap


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("30 2 * * *", "at 02:30 every day, Europe/Berlin"),
        ("@hourly", "at the start of every hour, Europe/Berlin"),
        ("0 0 13 * FRI", "at 00:00 on the 13th day of month and on Friday, Europe/Berlin"),
    ],
)
def test_a_line_is_described_in_words(text, words):
    assert cron(text, "Europe/Berlin").describe() == words


def test_the_description_mentions_that_both_days_must_match():
    assert cron("0 0 13 * FRI", day_or=False).describe().endswith("on Friday, when both fit, UTC")


def several(least, most):
    return st.none() | st.frozensets(st.integers(least, most), min_size=1, max_size=6)


class Line:
    """A cron line as sets of numbers, None for a star; `text` writes it."""

    def __init__(self, minutes, hours, days, months, weekdays, day_or):
        self.fields = (minutes, hours, days, months, weekdays)
        self.day_or = day_or

    @property
    def text(self):
        return " ".join("*" if field is None else ",".join(map(str, sorted(field))) for field in self.fields)

    def matches(self, wall):
        minutes, hours, _, months, _ = self.fields
        return (
            (minutes is None or wall.minute in minutes)
            and (hours is None or wall.hour in hours)
            and (months is None or wall.month in months)
            and self._fits_day(wall)
        )

    def _fits_day(self, wall):
        _, _, days, _, weekdays = self.fields
        by_month = days is None or wall.day in days
        by_week = weekdays is None or wall.isoweekday() % 7 in weekdays
        either = self.day_or and days is not None and weekdays is not None
        return by_month or by_week if either else by_month and by_week

    def __repr__(self):
        return f"{self.text} (day_or={self.day_or})"


lines = st.builds(
    Line,
    several(0, 59),
    # Hours around those at which clocks are moved are what it is about.
    several(0, 4) | several(0, 23),
    several(1, 31),
    st.none() | several(1, 12),
    several(0, 6),
    st.booleans(),
)


@examples(4, 600)
@given(line=lines, place=places())
def test_times_are_those_that_a_walk_through_all_minutes_finds(line, place):
    name, start = place
    walk = every_time if line.fields[1] is None else once_each
    timetable = cron(line.text, name, day_or=line.day_or)

    times = list(takewhile(lambda at: at < start + 1.5 * DAY, timetable.after(start, inclusive=True)))

    assert times == walk(line.matches, ZoneInfo(name), start, 1.5)


@examples(4, 400)
@given(line=lines, place=places(), microseconds=st.integers(0, 999_999))
def test_times_ascend_and_do_not_depend_on_where_one_begins(line, place, microseconds):
    name, start = place
    timetable = cron(line.text, name, day_or=line.day_or)

    times = list(islice(timetable.after(start + timedelta(microseconds=microseconds)), 6))

    assert times == sorted(set(times))
    for at, following in pairwise(times):
        assert next(timetable.after(at)) == following
        assert next(timetable.after(at, inclusive=True)) == at
