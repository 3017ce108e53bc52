"""Maintenance of a SQLite file. PostgreSQL looks after itself."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from django.db import connection

# Writers wait while the log is cut, and the cut waits for readers: better the next time than for long.
PATIENCE_MILLISECONDS = 200
ROWS_LOOKED_AT = 400
# Two megabytes; and so much stays, because new rows will want it soon.
PAGES_AT_ONCE, PAGES_KEPT = 500, 2500
LONGEST_PAUSE_SECONDS = 0.1


def give_space_back() -> int:
    """Shorten the file by what deleted rows left in it, in small steps between which others write; pages given back.

    A file that was made without that keeps its size until somebody compacts it with `VACUUM`.
    """
    given = 0
    with connection.cursor() as cursor:
        while (free := _pragma(cursor, "freelist_count")) > PAGES_KEPT:
            began = time.monotonic()
            cursor.execute(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})")
            cursor.fetchall()
            gained = free - _pragma(cursor, "freelist_count")
            if gained <= 0:
                break
            given += gained
            time.sleep(min(time.monotonic() - began, LONGEST_PAUSE_SECONDS))
    return given


def _pragma(cursor: Any, name: str) -> int:
    cursor.execute(f"PRAGMA {name}")
    return int(cursor.fetchone()[0])


def tidy_database(now: datetime) -> None:
    """Renew what the planner knows of the tables, and write the log of recent changes back into the file."""
    if connection.vendor != "sqlite":
        return
    give_space_back()
    with connection.cursor() as cursor:
        # Some rows of each index tell enough; all of them would be read otherwise, whenever a table has grown.
        cursor.execute(f"PRAGMA analysis_limit={ROWS_LOOKED_AT}")
        cursor.execute("PRAGMA optimize")
        cursor.execute("PRAGMA busy_timeout")
        usual = int(cursor.fetchone()[0])
        cursor.execute(f"PRAGMA busy_timeout={PATIENCE_MILLISECONDS}")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.fetchall()
        finally:
            cursor.execute(f"PRAGMA busy_timeout={usual}")
