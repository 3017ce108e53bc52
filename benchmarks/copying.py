"""Finished runs of a database of any version, copied to the days before with SQL: a million in minutes.

The connection is one of `sqlite3` or `psycopg`, so that the columns do not depend on Django's models.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

SPREAD = timedelta(days=100)
COPIES_AT_ONCE = 20
TABLES = ("runs_flowrun", "runs_flowrunstate", "runs_taskrun", "runs_taskrunstate")
IDS = ("id", "state_id", "flow_run_id", "task_run_id")
TIMES = ("created", "updated", "timestamp", "state_timestamp", "expected_start_time", "start_time", "end_time")


def copy_runs(connection: Any, copies: int) -> None:
    """Copy all runs with their states, the oldest copy first, so that ids and times ascend."""
    cursor = connection.cursor()
    if isinstance(connection, sqlite3.Connection):
        connection.create_function("earlier_id", 2, _earlier_id, deterministic=True)
    else:
        cursor.execute("SET statement_timeout = 0")
    for table in TABLES:
        cursor.execute(f"CREATE TEMPORARY TABLE old_{table} AS SELECT * FROM {table}")
    for newest in range(copies, 0, -COPIES_AT_ONCE):
        these = range(newest, max(newest - COPIES_AT_ONCE, 0), -1)
        cursor.execute("BEGIN")
        for table in TABLES:
            _copy(cursor, table, these, SPREAD / (copies + 1))
        cursor.execute("COMMIT")
    cursor.execute("ANALYZE")


def _copy(cursor: Any, table: str, copies: Sequence[int], step: timedelta) -> None:
    cursor.execute(f"SELECT * FROM {table} LIMIT 0")
    names = [column[0] for column in cursor.description]
    into = f"INSERT INTO {table} ({', '.join(names)})"
    if isinstance(cursor, sqlite3.Cursor):
        for copy in copies:
            values = ", ".join(_copied_in_sqlite(name, copy * step) for name in names)
            cursor.execute(f"{into} SELECT {values} FROM old_{table}")
        return
    milliseconds = int(step / timedelta(milliseconds=1))
    values = ", ".join(_copied_in_postgresql(name, milliseconds) for name in names)
    numbers = f"generate_series({copies[0]}, {copies[-1]}, -1) copy"
    cursor.execute(f"{into} SELECT {values} FROM {numbers}, old_{table} ORDER BY copy DESC")


def _copied_in_postgresql(name: str, milliseconds: int) -> str:
    if name in IDS:
        digits = f"replace({name}::text, '-', '')"
        earlier = f"('x' || substr({digits}, 1, 12))::bit(48)::bigint - copy * {milliseconds}::bigint"
        return f"(lpad(to_hex({earlier}), 12, '0') || substr({digits}, 13))::uuid"
    if name == "idempotency_key":
        return f"{name} || '-' || copy"
    return f"{name} - copy * interval '{milliseconds} milliseconds'" if name in TIMES else name


def _copied_in_sqlite(name: str, earlier: timedelta) -> str:
    if name in IDS:
        return f"earlier_id({name}, {int(earlier / timedelta(milliseconds=1))})"
    if name in TIMES:
        return f"strftime('%Y-%m-%d %H:%M:%f000', {name}, '-{earlier.total_seconds():.3f} seconds')"
    return f"{name} || '-{earlier.total_seconds():.3f}'" if name == "idempotency_key" else name


def _earlier_id(id: bytes | str | None, milliseconds: int) -> bytes | str | None:
    """Give an id of version 7 an earlier time. It is sixteen bytes, or 32 digits as in earlier versions."""
    if id is None:
        return None
    if isinstance(id, str):
        return f"{int(id[:12], 16) - milliseconds:012x}{id[12:]}"
    return (int.from_bytes(id[:6], "big") - milliseconds).to_bytes(6, "big") + id[6:]
