"""What a SQLite file needs now and then. PostgreSQL looks after itself."""

from __future__ import annotations

from datetime import datetime

from django.db import connection


def tidy_database(now: datetime) -> None:
    """Write the log of recent changes back into the file, and renew what the planner knows of the tables."""
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        # A reader that is busy keeps the log from being cut; then it is cut the next time.
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.fetchall()
        cursor.execute("PRAGMA optimize")
