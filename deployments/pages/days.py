"""Days in the reader's time zone, as addresses name them."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from django.utils import timezone

from deployments.schedules.core.zones import TICK, first_moment

# Calendars and databases end before the last year of dates.
YEARS = range(1971, 9000)


def day_of(text: str) -> date | None:
    """Return the day that `2026-11-30` names; None for other texts."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.year in YEARS else None


def bounds_of(day: date) -> tuple[datetime, datetime]:
    """Return the first moment of a day, and the last one, in the reader's zone."""
    zone = timezone.get_current_timezone()
    begin, end = (first_moment(datetime(one.year, one.month, one.day), zone) for one in (day, day + timedelta(days=1)))  # noqa: DTZ001
    # In UTC: subtracted from a local time, the last hour would be left out where clocks are set back at midnight.
    return begin.astimezone(zone), (end - TICK).astimezone(zone)
