"""Calendars, previews, missed times, and the feed of planned runs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from deployments.schedules.core import ScheduleError, read_definition
from deployments.schedules.core.calendars import MOST_WEEKS, MOST_ZONES, Exclusions
from deployments.schedules.core.feeds import PlannedEvent, planned_feed
from deployments.schedules.core.horizon import decide_missed
from deployments.schedules.core.preview import preview
from tests.core.clocks import DAY, utc
from tests.core.test_schedules_ics import document, event
from tests.rounds import examples

BERLIN = ZoneInfo("Europe/Berlin")
HOLIDAYS = document(
    event(
        "DTSTART;VALUE=DATE:20201225", "DTEND;VALUE=DATE:20201227", "RRULE:FREQ=YEARLY", "SUMMARY:Christmas", uid="1"
    ),
    event("DTSTART;VALUE=DATE:20260501", "SUMMARY:Labour Day", "TRANSP:TRANSPARENT", uid="2"),
    head=("X-WR-TIMEZONE:UTC",),
)
MAINTENANCE = document(
    event(
        "DTSTART;TZID=Europe/Berlin:20260301T220000", "DURATION:PT4H", "RRULE:FREQ=WEEKLY;BYDAY=SU", "SUMMARY:Upkeep"
    ),
    event("DTSTART;VALUE=DATE:20261220", "DTEND;VALUE=DATE:20270109", "RRULE:FREQ=YEARLY", "SUMMARY:Winter", uid="4"),
    event("DTSTART:20260610T100000Z", "DTEND:20260610T110000Z", uid="2"),
    event("DTSTART:20260611T100000Z", uid="3"),
)

COVERED = [
    # what is shown, local time in Berlin, whether it is covered
    ("a whole day from its midnight", "2025-12-25T00:00", True),
    ("not before it", "2025-12-24T23:59", False),
    ("to the end of its second day", "2025-12-26T23:59", True),
    ("and no longer", "2025-12-27T00:00", False),
    ("every year", "2031-12-25T12:00", True),
    ("not before it began", "2019-12-25T12:00", False),
    ("over the end of a year", "2028-01-08T12:00", True),
    ("and no longer", "2028-01-09T00:00", False),
    ("a day without an end is one day", "2026-05-01T23:59", True),
    ("and no longer", "2026-05-02T00:00", False),
    ("hours over midnight", "2026-03-30T01:59", True),
    ("and no longer", "2026-03-30T02:00", False),
    ("when clocks go forward meanwhile, elapsed time", "2026-03-29T22:00", True),
    ("a single hour", "2026-06-10T12:00", True),
    ("its end is free", "2026-06-10T13:00", False),
    ("an event without a length is its moment", "2026-06-11T12:00", True),
    ("and no longer", "2026-06-11T12:01", False),
]


@pytest.mark.parametrize(
    ("local", "covered"), [pytest.param(*row[1:], id=f"{n}-{row[0]}") for n, row in enumerate(COVERED)]
)
def test_what_events_cover(local, covered):
    exclusions = Exclusions.from_ics([HOLIDAYS, MAINTENANCE]).seen_from(BERLIN)

    assert exclusions.covers(datetime.fromisoformat(local).replace(tzinfo=BERLIN)) is covered


def test_a_holiday_begins_at_midnight_of_each_zone():
    exclusions = Exclusions.from_ics([HOLIDAYS])
    midnight = utc(2026, 12, 24, 23, 30)

    assert exclusions.seen_from(BERLIN).covers(midnight)
    assert not exclusions.seen_from(ZoneInfo("America/New_York")).covers(midnight)


def test_calendars_that_stay_read_keep_no_more_than_a_year_of_weeks_and_a_few_zones():
    exclusions = Exclusions.from_ics([MAINTENANCE])
    zones = [timezone(timedelta(minutes=15 * number)) for number in range(-48, 48)]

    found = [exclusions.covers(utc(2026, 1, 7) + number * timedelta(days=7)) for number in range(200)]
    again = [exclusions.covers(utc(2026, 1, 7) + number * timedelta(days=7)) for number in range(200)]
    seen = [exclusions.seen_from(zone) for zone in zones]

    assert found == again
    assert set(found) == {True, False}
    assert len(exclusions._weeks) == MOST_WEEKS
    assert len(exclusions._in_zones) == MOST_ZONES
    assert exclusions.seen_from(zones[-1]) is seen[-1]
    assert exclusions.seen_from(zones[0]).covers(utc(2028, 12, 25)) is exclusions.covers(utc(2028, 12, 25))


def test_a_calendar_without_events_leaves_nothing_out():
    assert not Exclusions.from_ics([document()]).covers(utc(2026, 1, 1))
    assert not Exclusions.from_ics([]).covers(utc(2026, 1, 1))


def test_what_is_no_calendar_is_refused():
    with pytest.raises(ScheduleError, match="cannot be read"):
        Exclusions.from_ics([HOLIDAYS, "hello"])


@pytest.mark.parametrize(
    "lines", [("DURATION:PT1S", "RRULE:FREQ=SECONDLY"), ("DURATION:P30000D", "RRULE:FREQ=DAILY")], ids=["often", "long"]
)
def test_events_of_which_too_many_cover_one_moment_are_refused(lines):
    with pytest.raises(ScheduleError, match="'Always' cannot be applied"):
        Exclusions.from_ics([document(event("DTSTART:19000101T000000Z", "SUMMARY:Always", *lines))])


def test_an_event_that_lasts_longer_than_those_that_begin_later_still_covers():
    text = document(
        event("DTSTART:20260101T000000Z", "DTEND:20260301T000000Z", uid="1"),
        *(event(f"DTSTART:2026010{n}T000000Z", "DURATION:PT1H", uid=f"n{n}") for n in range(2, 9)),
    )

    assert Exclusions.from_ics([text]).covers(utc(2026, 2, 28, 23, 59))


@examples(8, 400)
@given(
    hours=st.integers(1, 400),
    every=st.integers(1, 20),
    minutes=st.integers(0, 60 * 24 * 400),
)
def test_recurring_events_cover_what_counting_finds(hours, every, minutes):
    text = document(event("DTSTART:20260101T000000Z", f"DURATION:PT{hours}H", f"RRULE:FREQ=DAILY;INTERVAL={every}"))
    moment = utc(2026, 1, 1) + timedelta(minutes=minutes)

    begins = [utc(2026, 1, 1) + number * every * DAY for number in range(401 // every + 1)]
    expected = any(begin <= moment < begin + timedelta(hours=hours) for begin in begins)
    assert Exclusions.from_ics([text]).covers(moment) is expected


def cron(text, zone="Europe/Berlin"):
    return read_definition({"cron": text, "timezone": zone})


def notes(timetable, after, count=4, exclusions=None):
    found = preview(timetable, after=after, count=count, exclusions=exclusions)
    return [(one.local.isoformat(timespec="minutes"), one.note) for one in found]


def test_a_preview_reports_times_that_do_not_exist():
    assert notes(cron("30 2 * * *"), utc(2026, 3, 28, 12), 2) == [
        ("2026-03-29T03:00+02:00", "clocks go forward: 02:30 does not exist, runs at 03:00"),
        ("2026-03-30T02:30+02:00", None),
    ]


def test_a_preview_reports_days_that_do_not_exist():
    [_, (_, note)] = notes(cron("0 6 * * *", "Pacific/Apia"), utc(2011, 12, 28, 20), 2)

    assert note == "clocks go forward: 2011-12-30 06:00 does not exist, runs at 2011-12-31 00:00"


def test_a_preview_reports_times_that_occur_twice():
    once, hourly = cron("30 2 * * *"), cron("30 * * * *")

    assert notes(once, utc(2026, 10, 24, 12), 2) == [
        ("2026-10-25T02:30+02:00", "clocks go back: 02:30 comes twice, this is the first"),
        ("2026-10-26T02:30+01:00", None),
    ]
    assert notes(hourly, utc(2026, 10, 25, 0), 3) == [
        ("2026-10-25T02:30+02:00", "clocks go back: 02:30 comes twice, this is the first"),
        ("2026-10-25T02:30+01:00", "clocks go back: 02:30 comes twice, this is the second"),
        ("2026-10-25T03:30+01:00", None),
    ]


def test_a_preview_shows_what_is_left_out():
    found = preview(cron("30 0 * * *"), after=utc(2026, 12, 24), count=4, exclusions=Exclusions.from_ics([HOLIDAYS]))

    assert [(one.local.day, one.note, one.left_out) for one in found] == [
        (25, "left out: Christmas", True),
        (26, "left out: Christmas", True),
        (27, None, False),
        (28, None, False),
    ]


def test_a_preview_ends_with_the_schedule():
    assert (
        len(
            preview(
                read_definition({"rrule": "DTSTART:20260101T000000\nRRULE:FREQ=DAILY;COUNT=2"}),
                after=utc(2025, 1, 1),
                count=9,
            )
        )
        == 2
    )


MISSED = [utc(2026, 1, 5, hour) for hour in range(1, 9)]


@pytest.mark.parametrize(
    ("policy", "window", "hours"),
    [
        ("all", None, [1, 2, 3, 4, 5, 6, 7, 8]),
        ("latest", None, [8]),
        ("none", None, []),
        ("all", timedelta(hours=2), [6, 7, 8]),
        ("all", timedelta(minutes=-1), []),
        ("latest", timedelta(hours=2), [8]),
        ("none", timedelta(hours=2), []),
    ],
)
def test_missed_times_are_planned_by_the_policy_of_the_schedule(policy, window, hours):
    assert [at.hour for at in decide_missed(MISSED, policy, window, utc(2026, 1, 5, 8))] == hours


def test_of_many_missed_times_the_newest_are_made_up_for():
    assert decide_missed(MISSED, "all", None, utc(2026, 1, 5, 9), most=2) == MISSED[-2:]
    assert decide_missed([], "latest", None, utc(2026, 1, 5, 9)) == []


def planned(**changes):
    known = {"uid": "1@orion", "at": utc(2026, 1, 5, 6), "changed": utc(2026, 1, 1), "summary": "etl/nightly"}
    return PlannedEvent(**{**known, **changes})


def test_planned_runs_are_events_of_a_calendar():
    text = planned_feed(
        [planned(url="http://x/runs/1", description="a, b; c\nd", categories=("prod",)), planned(uid="2@orion")]
    )

    first, second = Calendar.from_ical(text).walk("VEVENT")
    assert (first["UID"], first["SUMMARY"], first["URL"]) == ("1@orion", "etl/nightly", "http://x/runs/1")
    assert (first["DTSTART"].dt, first["DTSTAMP"].dt) == (utc(2026, 1, 5, 6), utc(2026, 1, 1))
    assert first["DESCRIPTION"] == "a, b; c\nd"
    assert second["UID"] == "2@orion"
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))


def test_a_feed_can_be_a_schedule_again():
    timetable = read_definition({"ics": planned_feed([planned(), planned(uid="2", at=utc(2026, 1, 6, 6))])})

    assert list(timetable.after(utc(2026, 1, 1))) == [utc(2026, 1, 5, 6), utc(2026, 1, 6, 6)]


def test_the_same_runs_make_the_same_feed():
    assert planned_feed([planned()]) == planned_feed([planned()])
    assert planned_feed([]).startswith("BEGIN:VCALENDAR\r\n")


@examples(4, 300)
@given(summary=st.text(max_size=120))
def test_any_name_survives_the_feed(summary):
    [event] = Calendar.from_ical(planned_feed([planned(summary=summary)])).walk("VEVENT")

    assert event["DTSTART"].dt == utc(2026, 1, 5, 6)
