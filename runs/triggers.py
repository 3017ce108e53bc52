"""Triggers: which are missing on the tables of runs, and taking any away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connection


def missing_triggers(cursor: Any, names: Mapping[str, str]) -> set[str]:
    """Return those that are not there of these triggers, each given with its table."""
    if connection.vendor == "sqlite":
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    else:
        cursor.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")
    return names.keys() - {name for (name,) in cursor.fetchall()}


def drop_triggers(cursor: Any, names: Mapping[str, str]) -> None:
    for name, table in names.items():
        cursor.execute(f"DROP TRIGGER IF EXISTS {name}" + ("" if connection.vendor == "sqlite" else f" ON {table}"))
