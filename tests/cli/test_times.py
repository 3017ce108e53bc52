"""Moments and durations as people write and read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import click
import pytest

from orionflow.cli.times import Clock, duration, make_clock, read_period

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CLOCK = Clock(NOON, UTC)
BERLIN = Clock(NOON, ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("-90s", NOON - timedelta(seconds=90)),
        ("-2h30m", NOON - timedelta(hours=2, minutes=30)),
        ("7d", NOON - timedelta(days=7)),
        ("+15m", NOON + timedelta(minutes=15)),
        ("now", NOON),
        ("today", NOON.replace(hour=0)),
        ("yesterday", NOON.replace(day=20, hour=0)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T09:00+01:00", datetime(2026, 11, 20, 8, tzinfo=UTC)),
    ],
)
def test_moments_are_read_as_written(written, meant):
    assert CLOCK.moment(written) == meant


def test_a_moment_without_offset_is_meant_in_the_zone_of_the_clock():
    assert BERLIN.moment("2026-11-20T09:00") == datetime(2026, 11, 20, 8, tzinfo=UTC)


def test_today_begins_at_the_first_midnight_where_clocks_are_set_back_to_it():
    second_midnight = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    havana = Clock(second_midnight, ZoneInfo("America/Havana"))

    # Times that come twice are equal to none in another zone.
    found = [havana.moment(word).astimezone(UTC) for word in ("today", "yesterday")]

    assert found == [datetime(2026, 11, 1, 4, tzinfo=UTC), datetime(2026, 10, 31, 4, tzinfo=UTC)]


@pytest.mark.parametrize("written", ["", "soon", "-2x", "2026-13-01", "12:00 yesterday"])
def test_nonsense_is_refused_with_the_forms_that_are_understood(written):
    with pytest.raises(click.UsageError, match="2026-11-21T09:00"):
        CLOCK.moment(written)


@pytest.mark.parametrize("written", ["-99999999999999h", "+999999999d", "-3000000d", "-" + "9" * 400 + "s"])
def test_moments_out_of_all_reach_are_refused_in_a_sentence(written):
    with pytest.raises(click.UsageError, match="is not in the years|is too long"):
        CLOCK.moment(written)


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01"])
def test_moments_that_utc_has_not_are_refused_in_a_sentence(written):
    with pytest.raises(click.UsageError, match="is not in the years"):
        Clock(NOON, ZoneInfo("Asia/Tokyo")).moment(written)


@pytest.mark.parametrize("written", ["3000000d", "9" * 400 + "s"])
def test_periods_that_end_out_of_all_reach_are_refused_in_a_sentence(written):
    with pytest.raises(click.UsageError, match="is not in the years|is too long"):
        CLOCK.after(written)


@pytest.mark.parametrize("written", ["9" * 400, "9" * 20 + "d", "\N{SUPERSCRIPT TWO}", "1.2.3", ".", ""])
def test_an_invalid_duration_is_refused_in_a_sentence(written):
    with pytest.raises(click.UsageError, match="duration"):
        read_period(written)


def test_absolute_times_show_their_offset():
    assert BERLIN.absolute("2026-07-01T10:00:00Z") == "2026-07-01 12:00:00 +02:00"


def test_near_times_show_the_date_only_of_other_days():
    assert CLOCK.near("2026-11-21T11:56:00Z") == "11:56 (4m ago)"
    assert CLOCK.near("2026-11-19T11:00:00Z") == "2026-11-19 11:00 (2d ago)"
    assert CLOCK.near("2026-11-21T12:30:00Z") == "12:30 (in 30m)"
    assert CLOCK.near(None) == "-"


def test_the_local_zone_has_the_offset_of_each_moment(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    clock = make_clock()

    try:
        assert clock.absolute("2026-07-01T10:00:00Z").endswith("+02:00")
        assert clock.absolute("2026-12-01T10:00:00Z").endswith("+01:00")
        assert clock.moment("2026-07-01T12:00") == datetime(2026, 7, 1, 10, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_unknown_zone_is_a_usage_error():
    with pytest.raises(click.UsageError, match="Mars/Olympus"):
        make_clock(zone_name="Mars/Olympus")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "-"), (0.0123, "12ms"), (4.21, "4.2s"), (252, "4m 12s"), (3780, "1h 03m"), (200_000, "2d 7h")],
)
def test_durations_are_short(seconds, shown):
    assert duration(seconds) == shown


def test_periods_are_read_with_units_and_as_seconds():
    assert read_period("2h30m") == timedelta(hours=2.5)
    assert read_period("90") == timedelta(seconds=90)
    with pytest.raises(click.UsageError):
        read_period("a while")


def test_times_within_brackets_get_no_further_brackets():
    assert CLOCK.within_brackets("2026-11-21T11:56:00Z") == "11:56, 4m ago"
    assert CLOCK.within_brackets(None) == "-"
