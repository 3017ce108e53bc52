"""The parts of the database that models cannot declare: triggers with the rows that they keep, and some indexes.

SQLite drops them with a table, and Django recreates a table for many changes of its columns: so they are checked after
every migration.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from orchestration.tables import FLOW_RUNS, TASK_RUNS
from runs.triggers import names_there

# Read backwards: the newest end first, and null last. Nulls come first on SQLite anyway; PostgreSQL needs NULLS FIRST,
# which models cannot declare. Ascending, because new entries then are appended, and each page is filled before the next
# one starts.
_BY_END = {FLOW_RUNS.runs: "flow_run_by_end", TASK_RUNS.runs: "task_run_by_end"}
# Runs without tags: SQLite would read all runs to find few of them. Ten bytes for each, because the order of a list is
# left to its own index. PostgreSQL reads the table fast enough, and its indexes take more.
_WITHOUT_TAGS = {FLOW_RUNS.runs: "flow_run_without_tags", TASK_RUNS.runs: "task_run_without_tags"}


def install(**_: Any) -> None:
    """Create the missing triggers and indexes."""
    from runs.roll_ups import install as roll_ups
    from runs.tag_rows import install as tag_rows

    roll_ups.install()
    tag_rows.install()
    with connection.cursor() as cursor:
        for statement in _missing_indexes(names_there(cursor)):
            cursor.execute(statement)


def is_complete() -> bool:
    """Whether all of them exist, in a database with all migrations."""
    from runs.roll_ups.sql import names as of_roll_ups
    from runs.tag_rows.install import trigger_names as of_tags

    names = {*of_roll_ups(), *of_tags(FLOW_RUNS), *of_tags(TASK_RUNS)}
    with connection.cursor() as cursor:
        there = names_there(cursor)
    return names <= there and not _missing_indexes(there)


def _missing_indexes(there: set[str]) -> list[str]:
    """Return the statements that create the missing indexes of those tables that exist."""
    indexes = [(table, index, _columns_by_end()) for table, index in _BY_END.items()]
    if connection.vendor == "sqlite":
        indexes += [(table, index, "(tags) WHERE tags = '[]'") for table, index in _WITHOUT_TAGS.items()]
    return [
        f"CREATE INDEX {index} ON {table} {columns}"
        for table, index, columns in indexes
        if table in there and index not in there
    ]


def _columns_by_end() -> str:
    return f"(end_time{' NULLS FIRST' if connection.vendor == 'postgresql' else ''}, id)"
