"""Triggers, which models cannot declare: which are missing, and dropping them."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import connection
from django.db.backends.utils import CursorWrapper


def missing_triggers(cursor: CursorWrapper, names: Mapping[str, str]) -> set[str]:
    """Return the names of missing triggers; `names` maps triggers to their tables."""
    return names.keys() - names_there(cursor)


def names_there(cursor: CursorWrapper) -> set[str]:
    """Return the names of all tables, indexes and triggers.

    One query, because every program calls this when it starts.
    """
    if connection.vendor == "sqlite":
        cursor.execute("SELECT name FROM sqlite_master")
    else:
        cursor.execute(
            # `p` and `I` are partitioned; internal triggers are those of foreign keys.
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'i', 'p', 'I') "
            "UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
        )
    return {name for (name,) in cursor.fetchall()}


def drop_triggers(cursor: CursorWrapper, names: Mapping[str, str]) -> None:
    for name, table in names.items():
        cursor.execute(f"DROP TRIGGER IF EXISTS {name}" + ("" if connection.vendor == "sqlite" else f" ON {table}"))
