"""Names in the database that models cannot declare: which triggers are missing, and taking any away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connection


def missing_triggers(cursor: Any, names: Mapping[str, str]) -> set[str]:
    """Return those that are not there of these triggers, each given with its table."""
    return names.keys() - names_there(cursor)


def names_there(cursor: Any) -> set[str]:
    """Return the names of the tables, indexes and triggers that there are, by one query: every program asks at once."""
    if connection.vendor == "sqlite":
        cursor.execute("SELECT name FROM sqlite_master")
    else:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'i', 'p', 'I') "
            "UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
        )
    return {name for (name,) in cursor.fetchall()}


def drop_triggers(cursor: Any, names: Mapping[str, str]) -> None:
    for name, table in names.items():
        cursor.execute(f"DROP TRIGGER IF EXISTS {name}" + ("" if connection.vendor == "sqlite" else f" ON {table}"))
