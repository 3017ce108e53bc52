"""The one clock of runs: the database's. Servers disagree by seconds, and what one calls due another would let wait."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

# So often the database is asked; in between, a clock that nobody sets tells how long that was ago.
ASK_EVERY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class _Reading:
    """A time of the database's clock, and the moment of this process's own clock at which it was read."""

    shown: datetime
    at: float


_readings: dict[str, _Reading] = {}


def database_now() -> datetime:
    """One cheap query on PostgreSQL. The users of a SQLite file are on one machine, and share its clock."""
    if connection.vendor == "sqlite":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def current_time() -> datetime:
    """Now by the database's clock, without a query but for one now and then."""
    if connection.vendor == "sqlite":
        return timezone.now()
    reading = _readings.get(connection.alias)
    if reading is None or time.monotonic() - reading.at > ASK_EVERY_SECONDS:
        reading = _readings[connection.alias] = _read()
    return reading.shown + timedelta(seconds=time.monotonic() - reading.at)


def _read() -> _Reading:
    began = time.monotonic()
    connection.ensure_connection()
    # Past Django's cursor: a question about the time is none of the queries that belong to a request.
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        shown = cursor.fetchone()[0]
    # The answer was on its way for half of the time that the question took.
    return _Reading(shown, (began + time.monotonic()) / 2)
