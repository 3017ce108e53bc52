"""Install the roll-ups: count the existing runs, and create the triggers that count changes from then on."""

from __future__ import annotations

import sys
import time
from typing import Any

from django.db import connection, transaction

from orchestration.tables import FLOW_RUNS, TASK_RUNS, Tables
from runs.roll_ups.services import add_changes
from runs.roll_ups.sql import CHANGE, counted_within_bounds, names, trigger_names, triggers, triggers_of
from runs.triggers import drop_triggers, missing_triggers, names_there

SECONDS_BETWEEN_WORDS = 5.0


def install(**_: Any) -> None:
    """Create missing triggers and count all runs again; if none is missing, do nothing.

    SQLite drops triggers with a table, and Django recreates a table for many changes of its columns: so this is called
    after every migration.
    """
    with connection.cursor() as cursor:
        is_there = "runs_rollup" in connection.introspection.table_names(cursor)
        if not is_there or names() <= names_there(cursor):
            return
        with transaction.atomic():
            drop_triggers(cursor, trigger_names())
            cursor.execute("DELETE FROM runs_rollup")
            cursor.execute("DELETE FROM runs_rollupchange")
            for statement in triggers():
                cursor.execute(statement)
            # Creating the triggers has locked the tables, so nothing is written between them and the count.
            _count_again(cursor)


def replace_triggers() -> None:
    """Replace the triggers of an earlier version by the present ones, without counting again."""
    with connection.cursor() as cursor:
        if missing_triggers(cursor, trigger_names()):
            # `install`, which runs after every migration, creates them and counts.
            return
        if connection.vendor == "sqlite":
            with transaction.atomic():
                drop_triggers(cursor, trigger_names())
                # Earlier triggers left several changes per key, which the unique index does not allow.
                add_changes()
                for statement in triggers():
                    cursor.execute(statement)
            return
        for tables in (FLOW_RUNS, TASK_RUNS):
            # Table by table: locking both could deadlock with a transaction that writes to both.
            with transaction.atomic():
                drop_triggers(cursor, {name: table for name, table in trigger_names().items() if table == tables.runs})
                for statement in triggers_of(tables):
                    cursor.execute(statement)


def _count_again(cursor: Any) -> None:
    for tables in (FLOW_RUNS, TASK_RUNS):
        _count(cursor, tables)


def _count(cursor: Any, tables: Tables) -> None:
    """Count day by day, so that each statement stays small."""
    reported_at = time.monotonic()
    cursor.execute(_insert(tables, "expected_start_time IS NULL"))
    day = _first_day(cursor, tables, None)
    while day is not None:
        cursor.execute(_insert(tables, "expected_start_time >= %s AND expected_start_time < %s"), day)
        add_changes()
        if time.monotonic() - reported_at > SECONDS_BETWEEN_WORDS:
            reported_at = time.monotonic()
            print(f"Counting the {tables.kind}s that there are, up to {str(day[1])[:10]}.", file=sys.stderr, flush=True)
        day = _first_day(cursor, tables, day[1])
    add_changes()


def _insert(tables: Tables, condition: str) -> str:
    runs = f"{tables.runs} r WHERE r.{condition}"
    return f"INSERT INTO runs_rollupchange ({CHANGE}) {counted_within_bounds(tables, runs)}"


def _first_day(cursor: Any, tables: Tables, since: Any) -> tuple[Any, Any] | None:
    """Return the first day from `since` on with an expected run, as the database writes moments."""
    later = "" if since is None else "WHERE expected_start_time >= %s "
    first = f"(SELECT MIN(expected_start_time) AS first FROM {tables.runs} {later}) earliest"
    if connection.vendor == "sqlite":
        edges = "substr(first, 1, 10) || ' 00:00:00', date(substr(first, 1, 10), '+1 day') || ' 00:00:00'"
    else:
        edges = "date_trunc('day', first, 'UTC'), date_trunc('day', first, 'UTC') + interval '24 hours'"
    cursor.execute(f"SELECT {edges} FROM {first} WHERE first IS NOT NULL", [] if since is None else [since])
    row: tuple[Any, Any] | None = cursor.fetchone()
    return row
