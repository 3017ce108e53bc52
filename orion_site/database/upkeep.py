"""Maintenance of a SQLite file. PostgreSQL looks after itself, but for the coming days of tables in partitions."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from django.db import connection

from deployments.upkeep.services.partitions import make_days_ahead

# Writers wait while the log is cut, and the cut waits for readers: better the next time than for long.
PATIENCE_MILLISECONDS = 200
# Beside few rows no plan is bad; and a table is looked at again when it has grown so many times.
FEW_ROWS, GROWTH = 1_000, 10
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
            _let_others_write(began)
    return given


def _let_others_write(began: float) -> None:
    time.sleep(min(time.monotonic() - began, LONGEST_PAUSE_SECONDS))


def _pragma(cursor: Any, name: str) -> int:
    cursor.execute(f"PRAGMA {name}")
    return int(cursor.fetchone()[0])


def renew_statistics() -> int:
    """Have the planner look again at tables that have become many times as large; how many indexes it looked at.

    At all of each index, a third of a second for a million rows, and writers get their turn after each. `PRAGMA
    optimize` would look at the first rows of each value and conclude that no value has more rows than these: it takes
    a state that most runs are in for a seldom one. Besides, it looks again every hour where an index holds no row.
    """
    looked_at = 0
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if not _has_grown(cursor, table):
                continue
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = %s", [table])
            for (index,) in cursor.fetchall():
                began = time.monotonic()
                cursor.execute(f"ANALYZE {connection.ops.quote_name(index)}")
                looked_at += 1
                _let_others_write(began)
    return looked_at


def _has_grown(cursor: Any, table: str) -> bool:
    name = connection.ops.quote_name(table)
    # Rows are numbered as they come, and go in about that order: the first and the last tell how many there are.
    cursor.execute(f"SELECT (SELECT MAX(rowid) FROM {name}) - (SELECT MIN(rowid) FROM {name}) + 1")
    rows = cursor.fetchone()[0] or 0
    cursor.execute("SELECT MAX(CAST(stat AS INTEGER)) FROM sqlite_stat1 WHERE tbl = %s", [table])
    known = cursor.fetchone()[0] or 0
    return rows > FEW_ROWS and rows > GROWTH * known


def tidy_database(now: datetime) -> None:
    """Renew what the planner knows of the tables, and write the log of recent changes back into the file."""
    if connection.vendor != "sqlite":
        make_days_ahead(now)
        return
    give_space_back()
    renew_statistics()
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        usual = int(cursor.fetchone()[0])
        cursor.execute(f"PRAGMA busy_timeout={PATIENCE_MILLISECONDS}")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.fetchall()
        finally:
            cursor.execute(f"PRAGMA busy_timeout={usual}")
