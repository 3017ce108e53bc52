"""Schedules as programs write them, and as the API takes them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from orionflow.deployments import Cron, ICalendar, Interval, RRule
from orionflow.errors import UsageError
from orionflow.schedules import as_wire, schedules_of

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ICS = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:20261121T120000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"


def test_short_forms_become_schedules():
    found = schedules_of(cron="0 6 * * *", interval=90, rrule="FREQ=DAILY", timezone="Europe/Berlin", anchor_date=NOON)

    assert [one["schedule"] for one in found] == [
        {"cron": "0 6 * * *", "day_or": True, "timezone": "Europe/Berlin"},
        {"interval": 90.0, "anchor_date": "2026-11-21T12:00:00+00:00", "timezone": "Europe/Berlin"},
        {"rrule": "FREQ=DAILY", "timezone": "Europe/Berlin"},
    ]


def test_several_of_a_kind_may_be_given():
    assert len(schedules_of(cron=["0 6 * * *", "0 18 * * *"], interval=[60, timedelta(hours=1)])) == 4


def test_every_field_of_a_schedule_is_sent():
    schedule = Cron(
        "0 6 * * *",
        timezone="Europe/Berlin",
        parameters={"limit": 3},
        active=False,
        ends=NOON,
        max_runs=10,
        misfire="latest",
        misfire_window=timedelta(hours=2),
        calendars=["holidays"],
        spread=timedelta(minutes=10),
    )

    assert schedule.to_wire() == {
        "schedule": {"cron": "0 6 * * *", "day_or": True, "timezone": "Europe/Berlin", "spread": 600.0},
        "active": False,
        "parameters": {"limit": 3},
        "ends_at": "2026-11-21T12:00:00+00:00",
        "max_runs": 10,
        "misfire": "latest",
        "misfire_window": 7200.0,
        "calendars": ["holidays"],
    }


def test_omitted_fields_are_left_to_the_server():
    assert Interval(timedelta(minutes=5)).to_wire() == {"schedule": {"interval": 300.0}, "active": True}


def test_calendar_file_is_read(tmp_path):
    file = tmp_path / "plan.ics"
    file.write_text(ICS, newline="")

    assert ICalendar.from_file(file).definition() == {"ics": file.read_text(encoding="utf-8-sig")}
    assert schedules_of(ics=file)[0]["schedule"]["ics"].startswith("BEGIN:VCALENDAR")


@pytest.mark.parametrize("name", ["ics", "ics_file"])
def test_an_entry_of_a_file_names_the_file_of_a_calendar(tmp_path, monkeypatch, name):
    (tmp_path / "plan.ics").write_text(ICS)
    monkeypatch.chdir(tmp_path)

    found = as_wire({name: "plan.ics", "timezone": "Europe/Berlin", "ends": "2026-12-31T18:00:00+00:00"})

    assert found["schedule"]["ics"].startswith("BEGIN:VCALENDAR")
    assert found["ends_at"] == "2026-12-31T18:00:00+00:00"
    assert as_wire({"ics": ICS})["schedule"] == {"ics": ICS}


@pytest.mark.parametrize(
    ("written", "wire"),
    [
        ("0 6 * * *", {"cron": "0 6 * * *", "day_or": True}),
        (timedelta(minutes=1), {"interval": 60.0}),
        ({"cron": "0 6 * * *", "timezone": "UTC"}, {"cron": "0 6 * * *", "day_or": True, "timezone": "UTC"}),
        (
            {"interval": 60, "anchor_date": "2026-11-21T12:00:00+00:00"},
            {"interval": 60.0, "anchor_date": "2026-11-21T12:00:00+00:00"},
        ),
        (
            {"interval": 60, "anchor_date": "2026-11-21T12:00:00", "timezone": "Europe/Berlin"},
            {"interval": 60.0, "anchor_date": "2026-11-21T12:00:00", "timezone": "Europe/Berlin"},
        ),
        (RRule("FREQ=DAILY"), {"rrule": "FREQ=DAILY"}),
    ],
)
def test_schedule_may_be_written_in_many_ways(written, wire):
    assert as_wire(written)["schedule"] == wire


def test_names_of_other_tools_are_understood():
    assert as_wire({"cron": "@daily", "catchup": True, "max_scheduled_runs": 3, "ends_at": None})["misfire"] == "all"


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda: schedules_of(timezone="UTC"), "belong to cron"),
        (lambda: Interval(0).to_wire(), "no next time"),
        (lambda: Cron("x", misfire="some"), "misfire='some'"),  # type: ignore[arg-type]
        (lambda: Cron("x", max_runs=0), "the least is 1"),
        (lambda: Cron("x", ends=datetime(2026, 1, 1)).to_wire(), "no time zone"),  # noqa: DTZ001
        (lambda: as_wire({"cron": "x", "interval": 3}), "one of cron"),
        (lambda: as_wire({"cron": "x", "colour": 3}), "colour"),
        (lambda: as_wire(3), "is not a schedule"),  # type: ignore[arg-type]
        (lambda: as_wire({"cron": "x", "ends": date(2026, 12, 31)}), "no time zone"),
        (lambda: as_wire({"cron": "x", "ends": "soon"}), "'soon' is not a moment"),
        (lambda: as_wire({"ics": "/nowhere.ics"}), "cannot be read"),
        (lambda: ICalendar.from_file("/nowhere.ics"), "cannot be read"),
        (lambda: ICalendar.from_file(__file__), "not an iCalendar file"),
    ],
)
def test_meaningless_schedules_are_refused(make, cause):
    with pytest.raises(UsageError, match=cause):
        make()
