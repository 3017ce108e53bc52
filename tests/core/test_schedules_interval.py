"""Intervals: elapsed time below a day, the time of day from a day on."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.schedules.core import read_definition
from tests.core.clocks import DAY, MINUTE, once_each, places, utc
from tests.rounds import examples

KNOWN = [
    # what is shown, seconds, anchor, zone, after, the local times that follow
    (
        "a day keeps the time of day in spring",
        (86_400, "2026-03-01T02:30:00", "Europe/Berlin", "2026-03-28T12:00+01:00"),
        ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"],
    ),
    (
        "and in autumn, when it comes the first time",
        (86_400, "2026-03-01T02:30:00", "Europe/Berlin", "2026-10-24T12:00+02:00"),
        ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"],
    ),
    (
        "a week keeps the day of the week",
        (604_800, "2026-03-01T06:00:00", "America/New_York", "2026-03-02T00:00-05:00"),
        ["2026-03-08T06:00-04:00", "2026-03-15T06:00-04:00"],
    ),
    (
        "hours are elapsed time",
        (3_600 * 6, "2026-03-28T18:00:00", "Europe/Berlin", "2026-03-28T18:00+01:00"),
        ["2026-03-29T00:00+01:00", "2026-03-29T07:00+02:00"],
    ),
    (
        "an anchor with an offset is that moment",
        (3_600, "2026-01-05T06:30:00+05:45", "Asia/Kathmandu", "2026-01-05T05:00+05:45"),
        ["2026-01-05T05:30+05:45", "2026-01-05T06:30+05:45"],
    ),
    (
        "microseconds count",
        (0.000_250, "2026-01-05T00:00:00", "UTC", "2026-01-05T00:00:00.000100+00:00"),
        ["2026-01-05T00:00:00.000250+00:00", "2026-01-05T00:00:00.000500+00:00"],
    ),
    (
        "what Apia left out comes when it is over",
        (86_400, "2011-12-01T00:00:00", "Pacific/Apia", "2011-12-29T00:00-10:00"),
        ["2011-12-31T00:00+14:00", "2012-01-01T00:00+14:00"],
    ),
]


@pytest.mark.parametrize(("asked", "expected"), [pytest.param(*row[1:], id=row[0]) for row in KNOWN])
def test_known_times(asked, expected):
    seconds, anchor, name, after = asked
    timetable = read_definition({"interval": seconds, "anchor_date": anchor, "timezone": name})

    times = list(islice(timetable.after(datetime.fromisoformat(after)), len(expected)))

    assert times == [datetime.fromisoformat(text) for text in expected]


def test_an_anchor_may_lie_ahead():
    timetable = read_definition({"interval": 3600, "anchor_date": "2030-01-01T00:15:00+00:00"})

    assert next(timetable.after(utc(2026, 1, 1))) == utc(2026, 1, 1, 0, 15)


def test_times_end_with_the_calendar_of_the_computer():
    timetable = read_definition({"interval": 10**9, "anchor_date": "2020-01-01"})

    assert len(list(timetable.after(utc(9900, 1, 1)))) == 3


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3600, "hour"),
        (7200, "2 hours"),
        (86_400, "day"),
        (90, "90 seconds"),
        (0.25, "0.25 seconds"),
        (1e9, "1000000000 seconds"),
    ],
)
def test_an_interval_is_described_in_words(seconds, words):
    timetable = read_definition(
        {"interval": seconds, "anchor_date": "2026-01-05T06:00:00", "timezone": "Europe/Berlin"}
    )

    assert timetable.describe() == f"every {words}, counted from 2026-01-05 06:00, Europe/Berlin"


@examples(4, 400)
@given(days=st.integers(1, 9), hours=st.integers(0, 23), minutes=st.integers(0, 1439), place=places())
def test_a_day_or_more_is_what_a_walk_through_all_minutes_finds(days, hours, minutes, place):
    name, start = place
    anchor = datetime(2001, 5, 1) + minutes * MINUTE  # noqa: DTZ001
    interval = timedelta(days=days, hours=hours)
    timetable = read_definition(
        {"interval": interval.total_seconds(), "anchor_date": anchor.isoformat(), "timezone": name}
    )
    # Where the anchor itself was repeated or left out, the walk would have to begin there.
    anchor = timetable.anchor.astimezone(ZoneInfo(name)).replace(tzinfo=None)

    times = list(takewhile(lambda at: at < start + 1.5 * DAY, timetable.after(start, inclusive=True)))

    expected = once_each(lambda wall: (wall - anchor) % interval == timedelta(), ZoneInfo(name), start, 1.5)
    assert times == expected


@examples(4, 400)
@given(microseconds=st.integers(1, 86_400 * 10**6 - 1), place=places())
def test_less_than_a_day_is_elapsed_time(microseconds, place):
    name, start = place
    step = timedelta(microseconds=microseconds)
    timetable = read_definition(
        {"interval": step.total_seconds(), "anchor_date": "2001-05-01T00:00:00Z", "timezone": name}
    )

    times = list(islice(timetable.after(start), 5))

    assert start < times[0] <= start + step
    assert [(at - utc(2001, 5, 1)) % step for at in times] == [timedelta()] * 5
    assert [later - at for at, later in zip(times, times[1:], strict=False)] == [step] * 4
