"""Documents in the shape in which calendar programs export them."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from deployments.schedules.core import ScheduleError, read_definition
from deployments.schedules.core.ical import events
from tests.core.clocks import utc
from tests.rounds import THOROUGH


def document(*lines, head=()):
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN", *head, *lines, "END:VCALENDAR", ""])


def event(*lines, uid="1"):
    return "\r\n".join(["BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20260101T000000Z", *lines, "END:VEVENT"])


def times(text, after, count=20, **more):
    timetable = read_definition({"ics": text, **more})
    return [at.astimezone(timetable.zone).isoformat(timespec="minutes") for at in islice(timetable.after(after), count)]


# A web calendar: zone of the calendar, UTC ends, one date that was moved and one that was deleted.
GOOGLE = document(
    "BEGIN:VTIMEZONE",
    "TZID:Europe/Berlin",
    "X-LIC-LOCATION:Europe/Berlin",
    "BEGIN:DAYLIGHT",
    "TZOFFSETFROM:+0100",
    "TZOFFSETTO:+0200",
    "TZNAME:CEST",
    "DTSTART:19700329T020000",
    "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU",
    "END:DAYLIGHT",
    "BEGIN:STANDARD",
    "TZOFFSETFROM:+0200",
    "TZOFFSETTO:+0100",
    "TZNAME:CET",
    "DTSTART:19701025T030000",
    "RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU",
    "END:STANDARD",
    "END:VTIMEZONE",
    event(
        "DTSTART;TZID=Europe/Berlin:20261019T060000",
        "DTEND;TZID=Europe/Berlin:20261019T063000",
        "RRULE:FREQ=WEEKLY;WKST=MO;UNTIL=20261130T225959Z;BYDAY=MO",
        "EXDATE;TZID=Europe/Berlin:20261109T060000",
        "SUMMARY:Weekly load",
        "DESCRIPTION:A long description that programs fold at seventy-five octets\\, so",
        "  that it goes on here\\; with escapes",
        "STATUS:CONFIRMED",
        uid="abc@google.com",
    ),
    event(
        "DTSTART;TZID=Europe/Berlin:20261103T080000",
        "DTEND;TZID=Europe/Berlin:20261103T083000",
        "RECURRENCE-ID;TZID=Europe/Berlin:20261102T060000",
        "SUMMARY:Weekly load",
        uid="abc@google.com",
    ),
    event(
        "DTSTART;TZID=Europe/Berlin:20261116T060000",
        "RECURRENCE-ID;TZID=Europe/Berlin:20261116T060000",
        "STATUS:CANCELLED",
        uid="abc@google.com",
    ),
    head=("CALSCALE:GREGORIAN", "METHOD:PUBLISH", "X-WR-CALNAME:Loads", "X-WR-TIMEZONE:Europe/Berlin"),
)


def test_a_series_with_moved_and_deleted_dates_keeps_its_hour_over_the_change_of_clocks():
    assert times(GOOGLE, utc(2026, 1, 1)) == [
        "2026-10-19T06:00+02:00",
        "2026-10-26T06:00+01:00",
        "2026-11-03T08:00+01:00",
        "2026-11-23T06:00+01:00",
        "2026-11-30T06:00+01:00",
    ]


# A desktop calendar: folded lines, an alarm within the event, times without a zone, dates besides.
APPLE = document(
    event(
        "TRANSP:OPAQUE",
        "DTSTART;TZID=America/New_York:20260306T023000",
        "DTEND;TZID=America/New_York:20260306T033000",
        "RRULE:FREQ=DAILY;COUNT=4",
        "RDATE;TZID=America/New_York:20260320T090000,20260321",
        " T090000",
        "SEQUENCE:1",
        "BEGIN:VALARM",
        "TRIGGER:-PT15M",
        "ACTION:DISPLAY",
        "END:VALARM",
        uid="5D1A-APPLE",
    ),
    head=("X-APPLE-CALENDAR-COLOR:#1BADF8",),
)


def test_times_in_the_gap_come_when_clocks_have_jumped_and_folded_lines_are_one():
    assert times(APPLE, utc(2026, 1, 1)) == [
        "2026-03-06T02:30-05:00",
        "2026-03-07T02:30-05:00",
        "2026-03-08T03:00-04:00",
        "2026-03-09T02:30-04:00",
        "2026-03-20T09:00-04:00",
        "2026-03-21T09:00-04:00",
    ]


# An office program: zones by the names of Windows, or by names of its own, defined from 1601 on.
OUTLOOK = document(
    "BEGIN:VTIMEZONE",
    "TZID:Customized Time Zone",
    "BEGIN:STANDARD",
    "DTSTART:16011028T030000",
    "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10",
    "TZOFFSETFROM:+0200",
    "TZOFFSETTO:+0100",
    "END:STANDARD",
    "BEGIN:DAYLIGHT",
    "DTSTART:16010325T020000",
    "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3",
    "TZOFFSETFROM:+0100",
    "TZOFFSETTO:+0200",
    "END:DAYLIGHT",
    "END:VTIMEZONE",
    event(
        'DTSTART;TZID="Customized Time Zone":20261024T023000',
        'DTEND;TZID="Customized Time Zone":20261024T030000',
        "RRULE:FREQ=DAILY;COUNT=3",
        "X-MICROSOFT-CDO-BUSYSTATUS:BUSY",
        uid="040000008200E00074C5B7101A82E008",
    ),
    event("DTSTART;TZID=W. Europe Standard Time:20270329T060000", "DURATION:PT1H", uid="2"),
    head=("METHOD:PUBLISH", "X-MS-OLK-FORCEINSPECTOROPEN:TRUE"),
)


def test_zones_that_the_document_defines_and_those_of_windows_are_known():
    found = [
        at.astimezone(ZoneInfo("Europe/Berlin")) for at in read_definition({"ics": OUTLOOK}).after(utc(2026, 1, 1))
    ]

    assert [at.isoformat(timespec="minutes") for at in found] == [
        "2026-10-24T02:30+02:00",
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
        "2027-03-29T06:00+02:00",
    ]


def test_a_zone_that_a_document_defines_shows_what_the_one_of_the_database_shows():
    defined, known = read_definition({"ics": OUTLOOK}).recurring[0].series.zone, ZoneInfo("Europe/Berlin")

    for change in (utc(2026, 3, 29, 1), utc(2026, 10, 25, 1), utc(2031, 10, 26, 1)):
        for minutes in range(-180, 181, 15):
            moment = change + timedelta(minutes=minutes)
            ours, theirs = moment.astimezone(defined), moment.astimezone(known)
            assert (ours.replace(tzinfo=None), ours.fold, ours.utcoffset()) == (
                theirs.replace(tzinfo=None),
                theirs.fold,
                theirs.utcoffset(),
            )


def test_a_zone_that_one_document_defines_is_not_known_to_another():
    other = OUTLOOK.replace("+0100", "-0500").replace("+0200", "-0400")
    undefined = document(event("DTSTART;TZID=Customized Time Zone:20261024T023000"))

    first = [next(read_definition({"ics": text}).after(utc(2026, 1, 1))) for text in (OUTLOOK, other)]

    assert first == [utc(2026, 10, 24, 0, 30), utc(2026, 10, 24, 6, 30)]
    with pytest.raises(ScheduleError, match="'Customized Time Zone' without defining it"):
        read_definition({"ics": undefined})


@pytest.mark.parametrize("name", ["/freeassociation.sourceforge.net/Europe/Berlin", "/x.org/20210210_1/Europe/Berlin"])
def test_zones_may_be_named_with_who_defined_them(name):
    assert times(document(event(f"DTSTART;TZID={name}:20260701T060000")), utc(2026, 1, 1)) == ["2026-07-01T06:00+02:00"]


ALL_DAY = document(
    event(
        "DTSTART;VALUE=DATE:20260328",
        "DTEND;VALUE=DATE:20260329",
        "RRULE:FREQ=DAILY;UNTIL=20260331",
        "EXDATE;VALUE=DATE:20260330",
    )
)


def test_whole_days_begin_at_midnight_where_the_schedule_is():
    expected = ["2026-03-28T00:00+01:00", "2026-03-29T00:00+01:00", "2026-03-31T00:00+02:00"]

    assert times(ALL_DAY, utc(2026, 1, 1), timezone="Europe/Berlin") == expected
    assert times(ALL_DAY, utc(2026, 1, 1)) == [
        "2026-03-28T00:00+00:00",
        "2026-03-29T00:00+00:00",
        "2026-03-31T00:00+00:00",
    ]


def test_times_without_a_zone_are_those_of_the_schedule_or_of_the_calendar():
    floating = event("DTSTART:20260701T060000")
    stated = document(floating, head=("X-WR-TIMEZONE:America/New_York",))

    assert times(document(floating), utc(2026, 1, 1)) == ["2026-07-01T06:00+00:00"]
    assert times(stated, utc(2026, 1, 1)) == ["2026-07-01T06:00-04:00"]
    assert times(stated, utc(2026, 1, 1), timezone="Europe/Berlin") == ["2026-07-01T06:00+02:00"]


def test_the_same_moment_in_several_events_is_one():
    both = document(
        event("DTSTART:20260701T060000Z", "RRULE:FREQ=DAILY;COUNT=2"),
        event("DTSTART;TZID=Europe/Berlin:20260701T080000", uid="2"),
        event("DTSTART:20260701T060000Z", "STATUS:CANCELLED", uid="3"),
    )

    assert list(read_definition({"ics": both}).after(utc(2026, 1, 1))) == [
        utc(2026, 7, 1, 6),
        utc(2026, 7, 2, 6),
    ]


def test_periods_are_dates_too_and_dates_may_be_left_out_in_another_zone():
    text = document(
        event(
            "DTSTART;TZID=Europe/Berlin:20260701T060000",
            "RRULE:FREQ=DAILY;COUNT=3",
            "RDATE;VALUE=PERIOD:20260710T120000Z/PT1H,20260711T120000Z/20260711T130000Z",
            "EXDATE:20260702T040000Z",
        )
    )

    assert [at[:16] for at in times(text, utc(2026, 1, 1))] == [
        *("2026-07-01T06:00", "2026-07-03T06:00", "2026-07-10T14:00", "2026-07-11T14:00"),
    ]


def test_one_file_may_hold_several_calendars():
    assert len(times(GOOGLE + APPLE, utc(2026, 1, 1))) == 11


def test_a_large_export_is_read_once():
    text = document(
        *(
            event(f"DTSTART:2026{1 + n % 12:02}{1 + n % 28:02}T{n % 24:02}{n % 60:02}00Z", uid=str(n))
            for n in range(1500 if THOROUGH else 60)
        )
    )

    first = read_definition({"ics": text})

    assert read_definition({"ics": text}).once is not None
    assert len(list(first.after(utc(2025, 1, 1)))) == len({at for at, _ in first.once})


DAILY = ("DTSTART;TZID=Europe/Berlin:20260701T060000", "RRULE:FREQ=DAILY;COUNT=4")


@pytest.mark.parametrize(
    "left_out",
    [
        "EXDATE:20260702T060000",
        "EXDATE:20260702T040000Z",
        "EXDATE;VALUE=DATE:20260702",
        "EXDATE;TZID=UTC:20260702T040000",
    ],
)
def test_an_excluded_date_is_omitted_in_every_notation(left_out):
    found = read_definition({"ics": document(event(*DAILY, left_out)), "timezone": "America/New_York"})

    assert list(found.after(utc(2026, 1, 1))) == [utc(2026, 7, day, 4) for day in (1, 3, 4)]


def test_version_with_the_highest_sequence_is_the_event():
    text = document(
        event("DTSTART:20260701T060000Z", "SEQUENCE:0"),
        event("DTSTART:20260702T060000Z", "SEQUENCE:2"),
        event("DTSTART:20260703T060000Z", "SEQUENCE:1"),
    )

    assert list(read_definition({"ics": text}).after(utc(2026, 1, 1))) == [utc(2026, 7, 2, 6)]


def test_an_event_with_a_cancelled_newest_version_is_omitted():
    other = event("DTSTART:20260801T060000Z", uid="2")
    text = document(
        event("DTSTART:20260701T060000Z"), event("DTSTART:20260701T060000Z", "SEQUENCE:1", CANCELLED), other
    )
    message = document(event("DTSTART:20260701T060000Z", "SEQUENCE:1"), head=("METHOD:CANCEL",))

    for called_off in (text, document(event("DTSTART:20260701T060000Z"), other) + message):
        assert list(read_definition({"ics": called_off}).after(utc(2026, 1, 1))) == [utc(2026, 8, 1, 6)]


CANCELLED = "STATUS:CANCELLED"


def test_changed_date_with_a_copy_of_the_rule_is_one_date():
    text = document(
        event(*DAILY),
        event("DTSTART;TZID=Europe/Berlin:20260702T090000", "RRULE:FREQ=DAILY;COUNT=4", MOVED),
    )

    assert [at[8:16] for at in times(text, utc(2026, 1, 1))] == ["01T06:00", "02T09:00", "03T06:00", "04T06:00"]


MOVED = "RECURRENCE-ID;TZID=Europe/Berlin:20260702T060000"


def test_date_that_was_moved_and_then_deleted_is_gone():
    moved = event("DTSTART;TZID=Europe/Berlin:20260702T090000", MOVED)

    assert [at[8:16] for at in times(document(event(*DAILY, "EXDATE:20260702T040000Z"), moved), utc(2026, 1, 1))] == [
        *("01T06:00", "03T06:00", "04T06:00"),
    ]


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Pacific/Auckland", None])
@pytest.mark.parametrize("until", ["20260703", "20260703T000000Z", "20260703T000000"])
def test_last_of_some_whole_days_comes_east_and_west_of_greenwich(zone, until):
    text = document(event("DTSTART;VALUE=DATE:20260701", f"RRULE:FREQ=DAILY;UNTIL={until}", "EXDATE:20260702T000000Z"))

    assert [at[:16] for at in times(text, utc(2026, 1, 1), timezone=zone)] == ["2026-07-01T00:00", "2026-07-03T00:00"]


def test_unused_time_zones_are_not_checked():
    broken = ("BEGIN:VTIMEZONE", "TZID:Broken", "BEGIN:STANDARD", "DTSTART:nonsense", "END:STANDARD", "END:VTIMEZONE")
    text = document(*broken, event("DTSTART:20260701T060000Z"), head=("X-WR-TIMEZONE:Nowhere/Land",))

    assert list(read_definition({"ics": text}).after(utc(2026, 1, 1))) == [utc(2026, 7, 1, 6)]
    with pytest.raises(ScheduleError, match="Nowhere/Land"):
        read_definition({"ics": document(event("DTSTART:20260701T060000"), head=("X-WR-TIMEZONE:Nowhere/Land",))})


@pytest.mark.parametrize(
    ("name", "hour"),
    [
        ("tzone://Microsoft/Utc", 6),
        ("Coordinated Universal Time", 6),
        ("europe/berlin", 4),
        ("America/New York", 10),
        ("GMT+0200", 4),
        ("UTC-05:00", 11),
    ],
)
def test_time_zones_are_known_in_the_spellings_of_programs(name, hour):
    value = f'"{name}"' if ":" in name else name

    text = document(event(f"DTSTART;TZID={value}:20260701T060000"))

    assert list(read_definition({"ics": text}).after(utc(2026, 1, 1))) == [utc(2026, 7, 1, hour)]


def test_a_time_zone_without_offsets_from_is_followed():
    text = OUTLOOK.replace("TZOFFSETFROM:+0200\r\n", "").replace("TZOFFSETFROM:+0100\r\n", "")

    assert list(read_definition({"ics": text}).after(utc(2026, 1, 1))) == list(
        read_definition({"ics": OUTLOOK}).after(utc(2026, 1, 1))
    )


@pytest.mark.parametrize(
    "line",
    [
        "EXDATE:",
        "EXDATE;TZID=Europe/Berlin:",
        "RDATE;VALUE=DATE:  ",
        "RRULE:",
        "EXRULE:",
    ],
)
def test_lines_that_name_nothing_are_passed_over(line):
    found = read_definition({"ics": document(event("DTSTART:20260105T060000Z", "RRULE:FREQ=DAILY;COUNT=2", line))})

    assert list(found.after(utc(2026, 1, 1))) == [utc(2026, 1, 5, 6), utc(2026, 1, 6, 6)]


@pytest.mark.parametrize(
    "rule", ["FREQ=DAILY; COUNT=3", "FREQ=DAILY;BYDAY=MO, TU,WE ;COUNT=3 ", "freq=daily;until=20260107t060000z"]
)
def test_rules_may_hold_blanks_and_small_letters(rule):
    found = read_definition({"ics": document(event("DTSTART:20260105T060000Z", f"RRULE:{rule}"))})

    assert list(found.after(utc(2026, 1, 1))) == [utc(2026, 1, day, 6) for day in (5, 6, 7)]


def test_end_of_a_rule_without_an_offset_is_a_time_of_the_events_zone():
    text = document(event("DTSTART;TZID=America/New_York:20260701T210000", "RRULE:FREQ=DAILY;UNTIL=20260703T210000"))

    assert [at[8:16] for at in times(text, utc(2026, 1, 1))] == ["01T21:00", "02T21:00", "03T21:00"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "text of an iCalendar document"),
        ("hello", "cannot be read"),
        ("BEGIN:VEVENT\r\nUID:1\r\nEND:VEVENT", "does not begin with BEGIN:VCALENDAR"),
        (document(), "no events"),
        (document(event("SUMMARY:Party")), "'Party' has no beginning"),
        (document(event("DTSTART:tomorrow")), "cannot be read"),
        (document(event("DTSTART:20260101T060000Z", "RRULE:FREQ=DAILY;BYFOO=1")), "BYFOO is unknown"),
        (document(event("DTSTART;TZID=Nowhere:20260101T060000")), "'Nowhere' without defining it"),
        (
            document(event("DTSTART:20260101T060000Z", "RECURRENCE-ID;RANGE=THISANDFUTURE:20260101T060000Z")),
            "THISANDFUTURE",
        ),
        (OUTLOOK.replace("FREQ=YEARLY;BYDAY=-1SU", "FREQ=SECONDLY"), "not set by the year"),
        (OUTLOOK.replace("TZOFFSETTO:+0100", "X-A:1"), "no TZOFFSETTO"),
        (document("x" * 1_000_001), "at most 1000000"),
        (document(event("DTSTART:20260101T060000Z", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30")), "never comes"),
    ],
)
def test_flaws_are_explained(text, why):
    with pytest.raises(ScheduleError, match=why) as refused:
        read_definition({"ics": text})

    assert refused.value.field == "ics"


def test_recurring_events_are_bounded(monkeypatch):
    monkeypatch.setattr(events, "MOST_RECURRING", 20)
    daily = [event("DTSTART:20260101T060000Z", "RRULE:FREQ=DAILY", uid=str(n)) for n in range(21)]

    assert read_definition({"ics": document(*daily[:20])})
    with pytest.raises(ScheduleError, match="more than 20 recurring"):
        read_definition({"ics": document(*daily)})


def test_the_schedule_is_described_in_words():
    assert read_definition({"ics": GOOGLE}).describe() == "at the beginning of 2 events of a calendar, Europe/Berlin"
