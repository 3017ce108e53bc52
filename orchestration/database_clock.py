"""The one clock for runs: the database's. Servers' clocks differ by seconds, and so would what they call due."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.utils import timezone

FIRST_TIME, LAST_TIME = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
# How often the database is asked. In between, a monotonic clock measures the time since the last reading.
ASK_EVERY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class _Reading:
    """A time of the database's clock, and the monotonic time of this process at which it was read."""

    shown: datetime
    at: float


_readings: dict[str, _Reading] = {}


def database_now() -> datetime:
    """Return the database's time: one cheap query on PostgreSQL. Users of a SQLite file share their machine's clock."""
    if connection.vendor == "sqlite":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def current_time() -> datetime:
    """Return the database's time, as a rule without a query."""
    if connection.vendor == "sqlite":
        return timezone.now()
    reading = _readings.get(connection.alias)
    if reading is None or time.monotonic() - reading.at > ASK_EVERY_SECONDS:
        reading = _readings[connection.alias] = _read()
    return reading.shown + timedelta(seconds=time.monotonic() - reading.at)


def time_before(now: datetime, age: timedelta) -> datetime:
    """Return the time that long before `now`; the first one that there is, if the age reaches back further."""
    return now - min(age, now - FIRST_TIME)


def time_after(now: datetime, period: timedelta) -> datetime:
    """Return the time that long after `now`; the last one that there is, if the period reaches beyond it."""
    return now + min(period, LAST_TIME - now)


def _read() -> _Reading:
    began = time.monotonic()
    connection.ensure_connection()
    # Bypass Django's cursor: this query does not belong to the request, and must not be counted there.
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        shown = cursor.fetchone()[0]
    # The database answered about halfway between question and answer.
    return _Reading(shown, (began + time.monotonic()) / 2)
