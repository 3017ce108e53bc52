"""Definitions as the API has them: what is wrong is said, and nothing else ever goes wrong."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deployments.schedules.core import ScheduleError, read_definition
from tests.core.clocks import utc
from tests.core.test_schedules_ics import APPLE, GOOGLE, OUTLOOK
from tests.rounds import examples

WRONG = [
    ({}, None, "exactly one of"),
    ({"cron": "0 6 * * *", "interval": 60}, "interval", "exactly one of"),
    ({"cron": "0 6 * * *", "anchor_date": None}, "anchor_date", "by cron has no 'anchor_date'"),
    ({"interval": 60, "day_or": True}, "day_or", "by interval has no 'day_or'"),
    ({"cron": "0 6 * *"}, "cron", "it has five fields"),
    ({"cron": "0 6 * * * * 2026"}, "cron", "or six with the second before them"),
    ({"cron": "0 25 * * *"}, "cron", "the hour is wrong"),
    ({"cron": "0 0 32 * *"}, "cron", "the day-of-month is wrong"),
    ({"cron": "@fortnightly"}, "cron", "the names are @yearly"),
    ({"cron": "@reboot"}, "cron", "the names are"),
    ({"cron": ""}, "cron", "is a text"),
    ({"cron": None}, "cron", "is a text"),
    ({"cron": "0 6 * * *", "day_or": "yes"}, "day_or", "true or false"),
    ({"cron": "0 6 * * *", "timezone": "Europe/Berln"}, "timezone", "; did you mean Europe/Berlin?"),
    ({"cron": "0 6 * * *", "timezone": "../../etc/passwd"}, "timezone", "no time zone"),
    ({"cron": "0 6 * * *", "timezone": "Europe"}, "timezone", "no time zone"),
    ({"cron": "0 6 * * *", "timezone": 5}, "timezone", "no time zone 5"),
    ({"interval": 0}, "interval", "a microsecond at least"),
    ({"interval": -60}, "interval", "a microsecond at least"),
    ({"interval": 1e-7}, "interval", "a microsecond at least"),
    ({"interval": float("nan")}, "interval", "too long"),
    ({"interval": 1e300}, "interval", "too long"),
    ({"interval": "60"}, "interval", "a number of seconds"),
    ({"interval": True}, "interval", "a number of seconds"),
    ({"interval": 60, "anchor_date": "yesterday"}, "anchor_date", "such as 2026-01-05"),
    ({"interval": 60, "anchor_date": 5}, "anchor_date", "such as 2026-01-05"),
    ({"rrule": "every day"}, "rrule", "not of the form"),
    ({"rrule": "FREQ=OFTEN"}, "rrule", "FREQ must be one of YEARLY"),
    ({"rrule": "INTERVAL=2"}, "rrule", "FREQ must be one of"),
    ({"rrule": "FREQ=DAILY;BYFOO=1"}, "rrule", "BYFOO is unknown"),
    ({"rrule": "FREQ=DAILY;COUNT=2;COUNT=3"}, "rrule", "COUNT comes twice"),
    ({"rrule": "FREQ=DAILY;COUNT=2;UNTIL=20260101"}, "rrule", "exclude each other"),
    ({"rrule": "FREQ=DAILY;COUNT=1000000"}, "rrule", "from 1 to 100000"),
    ({"rrule": "FREQ=DAILY;INTERVAL=0"}, "rrule", "INTERVAL is a number from 1"),
    ({"rrule": "FREQ=DAILY;BYHOUR=24"}, "rrule", "24 is not a valid BYHOUR"),
    ({"rrule": "FREQ=DAILY;BYMONTHDAY=0"}, "rrule", "0 is not a valid BYMONTHDAY"),
    ({"rrule": "FREQ=DAILY;BYDAY=XX"}, "rrule", "not a weekday"),
    ({"rrule": "FREQ=DAILY;BYHOUR=²"}, "rrule", "not a number"),
    ({"rrule": "FREQ=DAILY;UNTIL=never"}, "rrule", "is not a date such as"),
    ({"rrule": "DTSTART:20260101T000000"}, "rrule", "has an RRULE"),
    ({"rrule": "DTSTART:soon\nRRULE:FREQ=DAILY"}, "rrule", "'soon', which is not a date"),
    ({"rrule": "DTSTART;TZID=Nowhere:20260101T000000\nRRULE:FREQ=DAILY"}, "rrule", "no time zone 'Nowhere'"),
    ({"rrule": "SUMMARY:x\nRRULE:FREQ=DAILY"}, "rrule", "SUMMARY is not a line"),
    ({"rrule": "FREQ=DAILY;BYHOUR=" + ",".join(["1"] * 3300)}, "rrule", "at most 6500"),
    ({"ics": GOOGLE, "timezone": "Mars/Olympus"}, "timezone", "no time zone"),
    ({"ics": 5}, "ics", "text of an iCalendar document"),
]


@pytest.mark.parametrize(("definition", "field", "why"), WRONG)
def test_flaws_are_explained(definition, field, why):
    with pytest.raises(ScheduleError, match=why) as refused:
        read_definition(definition)

    assert refused.value.field == field
    assert str(refused.value).endswith((".", "?", "Berlin"))


def test_a_definition_is_an_object():
    with pytest.raises(ScheduleError, match="is an object"):
        read_definition("0 6 * * *")


@pytest.mark.parametrize(
    "text",
    ["FREQ=DAILY", "RRULE:FREQ=DAILY", "rrule:freq=daily", "DTSTART:20200101T000000\nRRULE:FREQ=DAILY", "FREQ=DAILY;"],
)
def test_a_rule_may_be_written_in_several_ways(text):
    assert next(read_definition({"rrule": text}).after(utc(2026, 1, 1))) == utc(2026, 1, 2)


def test_a_rule_of_full_length_is_read():
    dates = ",".join(f"2026{1 + n % 12:02}{1 + n % 28:02}T{n % 24:02}0000" for n in range(400))
    text = f"DTSTART:20260101T000000\nRRULE:FREQ=DAILY;COUNT=1\nRDATE:{dates}"

    assert len(text) <= 6500
    assert len(list(read_definition({"rrule": text}).after(utc(2025, 1, 1)))) > 80


def test_a_schedule_without_a_zone_is_one_in_utc():
    for definition in ({"cron": "0 6 * * *"}, {"cron": "0 6 * * *", "timezone": None}):
        assert str(read_definition(definition).zone) == "UTC"


words = st.sampled_from(
    [
        "0",
        "1",
        "5",
        "31",
        "59",
        "60",
        "*",
        "/",
        "-",
        ",",
        "#",
        "L",
        "W",
        "LW",
        "MON",
        "JAN",
        "SUN#5",
        "*/0",
        "5L",
        "@daily",
        "?",
        "H",
        "99999999999999999999",
    ]
)
parts = st.sampled_from(
    [
        "FREQ=DAILY",
        "FREQ=SECONDLY",
        "INTERVAL=2",
        "COUNT=3",
        "BYDAY=MO",
        "BYDAY=5MO",
        "BYMONTHDAY=31",
        "BYMONTH=2",
        "BYSETPOS=-1",
        "WKST=SU",
        "UNTIL=20270101",
        "UNTIL=20270101T000000Z",
        "BYHOUR=25",
        "BYWEEKNO=53",
        "BYEASTER=0",
        "BY=",
        "=",
    ]
)
zones = st.sampled_from(["Europe/Berlin", "UTC", None, "", "nowhere", "\x00", 7])
lines = st.sampled_from(
    ["DTSTART:20260101T000000Z\n", "DTSTART;TZID=Asia/Tokyo:20260101\n", "EXDATE:x\n", "RRULE:", ""]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3),
)
definitions = st.one_of(
    st.fixed_dictionaries({"cron": st.lists(words, max_size=7).map(" ".join) | anything}, optional={"timezone": zones}),
    st.fixed_dictionaries({"interval": anything}, optional={"anchor_date": anything, "timezone": zones}),
    st.fixed_dictionaries(
        {"rrule": st.builds(lambda line, rule: line + ";".join(rule), lines, st.lists(parts, max_size=5)) | anything},
        optional={"timezone": zones},
    ),
    st.dictionaries(st.sampled_from(["cron", "interval", "rrule", "ics", "timezone", "x"]), anything, max_size=3),
)


@examples(4, 1500)
@given(definition=definitions)
@example({"cron": "*/0 5L SUN#5 JAN ?", "timezone": "Europe/Berlin"})
@example({"cron": "0 0 31 2 *", "timezone": "UTC"})
@example({"interval": 0.5, "anchor_date": "2026-03-29T02:30", "timezone": "Europe/Berlin"})
@example({"interval": -1, "anchor_date": [], "timezone": 7})
@example({"rrule": "DTSTART;TZID=Asia/Tokyo:20260101\nFREQ=DAILY;BYDAY=5MO;BYMONTHDAY=31;COUNT=3", "timezone": None})
@example({"rrule": "RRULE:FREQ=SECONDLY;BYSETPOS=-1;BYHOUR=25;BY=;="})
@example({"ics": "BEGIN:VCALENDAR", "x": None})
@example({"ics": [True], "timezone": "\x00"})
@example({"cron": None, "rrule": 7})
def test_of_strange_definitions_nothing_but_an_error_with_a_sentence_comes(definition):
    assert _used(definition)


@st.composite
def damaged(draw):
    """An export in which lines are missing, doubled, or have been written over."""
    text = draw(st.sampled_from([GOOGLE, APPLE, OUTLOOK])).split("\r\n")
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(text) - 1))
        text[place : place + draw(st.integers(0, 2))] = draw(
            st.lists(st.sampled_from(text) | st.text(max_size=20) | st.just("RRULE:FREQ=SECONDLY"), max_size=2)
        )
    return "\r\n".join(text)


@examples(4, 600)
@given(text=damaged())
@example(GOOGLE.replace("END:VEVENT\r\n", "", 1))
@example(APPLE.replace("\r\nRRULE:", "\r\nRRULE:FREQ=SECONDLY\r\nRRULE:"))
@example(OUTLOOK.replace("BEGIN:VTIMEZONE\r\n", "\x00", 1))
def test_of_damaged_documents_nothing_but_an_error_with_a_sentence_comes(text):
    assert _used({"ics": text})


def _used(definition):
    """Use a definition in every way; return the outcome, good or bad."""
    try:
        timetable = read_definition(definition)
    except ScheduleError as error:
        return str(error)
    times = list(islice(timetable.after(utc(2026, 3, 29)), 5))
    assert times == sorted(set(times))
    return timetable.describe()
