"""Maintenance of a SQLite file, and the coming days' partitions on PostgreSQL, which needs no other maintenance."""

from __future__ import annotations

import time
from datetime import datetime

from django.db import connection
from django.db.backends.utils import CursorWrapper

from deployments.upkeep.services.partitions import make_days_ahead

# Writers wait during a checkpoint, which waits for readers: give up soon, and try again with the next tick.
PATIENCE_MILLISECONDS = 200
# Tables with few rows need no statistics; others are analyzed again when they have grown by this factor.
FEW_ROWS, GROWTH = 1_000, 10
# Pages that are released at once, which are two megabytes; and free pages that are kept for new rows.
PAGES_AT_ONCE, PAGES_KEPT = 500, 2500
LONGEST_PAUSE_SECONDS = 0.1


def tidy_database(now: datetime) -> None:
    """Return free pages, renew the planner's statistics, and write the WAL into the file; or create partitions."""
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


def give_space_back() -> int:
    """Return free pages to the disk in small steps, between which others write. Return the number of pages.

    A file that was created without incremental vacuum keeps its size until an operator runs `VACUUM`.
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


def _pragma(cursor: CursorWrapper, name: str) -> int:
    cursor.execute(f"PRAGMA {name}")
    return int(cursor.fetchone()[0])


def renew_statistics() -> int:
    """Analyze tables that have grown by GROWTH. Return the number of indexes.

    Each index is read completely, a third of a second for a million rows, and writers get a turn after each. `PRAGMA
    optimize` reads only the first rows of each value, and concludes that no value has more: so it considers a state of
    most runs to be rare. It also reads empty indexes again every hour.
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


def estimated_rows(cursor: CursorWrapper, table: str) -> int:
    """Return about how many rows a table of SQLite has, without counting them.

    Row numbers ascend, and rows are deleted in about that order, so the first and the last number tell.
    """
    name = connection.ops.quote_name(table)
    cursor.execute(f"SELECT (SELECT MAX(rowid) FROM {name}) - (SELECT MIN(rowid) FROM {name}) + 1")
    return int(cursor.fetchone()[0] or 0)


def _has_grown(cursor: CursorWrapper, table: str) -> bool:
    rows = estimated_rows(cursor, table)
    # A migration may have analyzed only its own new index, so the index with the oldest statistics decides. Partial
    # indexes do not count all rows.
    cursor.execute(
        "SELECT MIN(COALESCE((SELECT CAST(stat AS INTEGER) FROM sqlite_stat1 WHERE tbl = %s AND idx = there.name), 0)) "
        "FROM pragma_index_list(%s) there WHERE NOT there.partial",
        [table, table],
    )
    known = cursor.fetchone()[0] or 0
    return rows > FEW_ROWS and rows > GROWTH * known
