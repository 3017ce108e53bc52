"""Write rows for existing tags, and create the triggers that maintain them from then on (decision 0038)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction

from orchestration.tables import FLOW_RUNS, TASK_RUNS, Tables
from runs.triggers import drop_triggers, missing_triggers

_INSERTED = "INSERT INTO {tags} (tag, run_id, expected_start_time) "
_OF_NEW = _INSERTED + (
    "SELECT DISTINCT value, NEW.id, NEW.expected_start_time FROM json_each(NEW.tags) WHERE type = 'text';"
)
_WITHOUT_OLD = "DELETE FROM {tags} WHERE run_id = OLD.id AND tag IN (SELECT value FROM json_each(OLD.tags));"

# By event: the condition of the trigger, and its statements.
_SQLITE = {
    "insert": ("INSERT ON {runs} WHEN NEW.tags <> '[]'", _OF_NEW),
    "update": ("UPDATE OF tags ON {runs} WHEN NEW.tags <> OLD.tags", f"{_WITHOUT_OLD} {_OF_NEW}"),
    # Only without a change of tags: the trigger above writes the new start, too.
    "moved": (
        "UPDATE OF expected_start_time ON {runs} WHEN NEW.tags <> '[]' AND NEW.tags = OLD.tags "
        "AND NEW.expected_start_time IS NOT OLD.expected_start_time",
        "UPDATE {tags} SET expected_start_time = NEW.expected_start_time "
        "WHERE run_id = NEW.id AND tag IN (SELECT value FROM json_each(NEW.tags));",
    ),
    "delete": ("DELETE ON {runs} WHEN OLD.tags <> '[]'", _WITHOUT_OLD),
}
_FUNCTION = """
CREATE OR REPLACE FUNCTION {runs}_tags() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM {tags} WHERE run_id = OLD.id AND tag IN (SELECT jsonb_array_elements_text(OLD.tags));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO {tags} (tag, run_id, expected_start_time)
        SELECT DISTINCT value, NEW.id, NEW.expected_start_time FROM jsonb_array_elements_text(NEW.tags)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$
"""
# The conditions belong to the triggers, so that the function is not called for runs without tags.
_POSTGRESQL = {
    "insert": ("INSERT ON {runs}", "NEW.tags <> '[]'"),
    "update": (
        "UPDATE OF tags, expected_start_time ON {runs}",
        "(NEW.tags <> '[]' OR OLD.tags <> '[]') AND "
        "(NEW.tags <> OLD.tags OR NEW.expected_start_time IS DISTINCT FROM OLD.expected_start_time)",
    ),
    "delete": ("DELETE ON {runs}", "OLD.tags <> '[]'"),
}
_ALL = {
    "sqlite": "SELECT DISTINCT one.value, r.id, r.expected_start_time FROM {runs} r, json_each(r.tags) one "
    "WHERE r.tags <> '[]' AND one.type = 'text' ORDER BY 1, 2",
    "postgresql": "SELECT DISTINCT value, id, expected_start_time FROM {runs}, jsonb_array_elements_text(tags) "
    "WHERE tags <> '[]'",
}


def trigger_names(tables: Tables) -> dict[str, str]:
    """Return the names of the triggers on the runs of one kind, with their tables."""
    events = _SQLITE if connection.vendor == "sqlite" else _POSTGRESQL
    return {f"{tables.runs}_tags_{event}": tables.runs for event in events}


def install(**_: Any) -> None:
    """Create missing triggers and write all rows again; if none is missing, do nothing.

    SQLite drops triggers with a table, and Django recreates a table for many changes of its columns: so this is called
    after every migration.
    """
    with connection.cursor() as cursor:
        there = set(connection.introspection.table_names(cursor))
        for tables in (FLOW_RUNS, TASK_RUNS):
            names = trigger_names(tables)
            if f"{tables.runs}tag" in there and missing_triggers(cursor, names):
                _install(cursor, tables, names)


def _install(cursor: Any, tables: Tables, names: dict[str, str]) -> None:
    tables_by_name = {"runs": tables.runs, "tags": f"{tables.runs}tag"}
    with transaction.atomic():
        drop_triggers(cursor, names)
        for statement in _triggers():
            cursor.execute(statement.format(**tables_by_name))
        # After the triggers: creating them locks the table, so that no run is written from then on.
        cursor.execute("DELETE FROM {tags}".format(**tables_by_name))
        cursor.execute((_INSERTED + _ALL[connection.vendor]).format(**tables_by_name))


def _triggers() -> Iterator[str]:
    if connection.vendor == "sqlite":
        for event, (when, what) in _SQLITE.items():
            yield f"CREATE TRIGGER {{runs}}_tags_{event} AFTER {when} BEGIN {what} END"
        return
    yield _FUNCTION
    for event, (when, condition) in _POSTGRESQL.items():
        yield (
            f"CREATE TRIGGER {{runs}}_tags_{event} AFTER {when} FOR EACH ROW WHEN ({condition}) "
            "EXECUTE FUNCTION {runs}_tags()"
        )
