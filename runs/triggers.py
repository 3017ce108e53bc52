"""Triggers on the tables of runs: making those that are missing, and taking them away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connection

from orchestration.tables import FLOW_RUNS, TASK_RUNS


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


def install_triggers(**_: Any) -> None:
    """Make the triggers that are missing, with the rows that they keep.

    SQLite drops triggers with a table, and many a change of columns remakes one: this is called after migrations.
    """
    from runs.roll_ups import install as roll_ups
    from runs.tag_rows import install as tag_rows

    roll_ups.install()
    tag_rows.install()


def has_all_triggers() -> bool:
    """Whether no trigger is missing, in a database that has had all migrations."""
    from runs.roll_ups.sql import trigger_names as of_roll_ups
    from runs.tag_rows.install import trigger_names as of_tags

    names = {**of_roll_ups(), **of_tags(FLOW_RUNS), **of_tags(TASK_RUNS)}
    with connection.cursor() as cursor:
        return not missing_triggers(cursor, names)
