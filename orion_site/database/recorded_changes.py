"""Triggers in a SQLite file that record which of its rows change while it is copied (see `conversion`).

The file also says for which draft of a copy it records them, and how many at most.
"""

from __future__ import annotations

import secrets
import sqlite3
import sys

from orion_site.database.file import DatabaseUnusable

# Tables in the old file: the draft for which changes are recorded, and the rows that changed since they were copied.
FOLLOWED, CHANGES = "conversion_followed", "conversion_changes"
_FOLLOWED_COLUMNS = ["mark", "schema", "most"]
# Version of the layout of these tables, triggers and the draft; raise it with any change.
FORMAT = 2
# Changes that are recorded at most, in about 40 MB, in case the file is copied ahead but never upgraded. After that,
# the file is copied again.
MOST_CHANGES = 2_000_000
_LAST_CHANGE = f"(SELECT COALESCE(MAX(number), 0) FROM {CHANGES})"


def follow(database: sqlite3.Connection) -> str:
    """Record from now on which rows change. Return the name of the draft."""
    mark = f"followed {FORMAT} {secrets.token_hex(8)}"
    database.execute("BEGIN IMMEDIATE")
    for name, kind in (
        (FOLLOWED, "mark text, schema integer, most integer"),
        (CHANGES, "number integer PRIMARY KEY, name text, row"),
    ):
        database.execute(f"DROP TABLE IF EXISTS main.{name}")
        database.execute(f"CREATE TABLE main.{name} ({kind})")
    for table in tables_in(database):
        for event, rows in (("INSERT", ("NEW",)), ("UPDATE", ("OLD", "NEW")), ("DELETE", ("OLD",))):
            values = ", ".join(f"('{table}', {row}.rowid)" for row in rows)
            name = f'"conversion_{table}_{event.lower()}"'
            database.execute(f"DROP TRIGGER IF EXISTS main.{name}")
            database.execute(
                f'CREATE TRIGGER main.{name} AFTER {event} ON "{table}" '
                f"WHEN {_LAST_CHANGE} < (SELECT most FROM {FOLLOWED}) BEGIN "
                f"INSERT INTO {CHANGES} (name, row) VALUES {values}; END"
            )
    (schema,) = database.execute("PRAGMA main.schema_version").fetchone()
    database.execute(f"INSERT INTO main.{FOLLOWED} VALUES (?, ?, ?)", [mark, schema, MOST_CHANGES])
    database.execute("COMMIT")
    return mark


def stop_following(database: sqlite3.Connection) -> bool:
    """Stop recording changes. Return whether they were recorded."""
    named = "type = 'trigger' AND name LIKE 'conversion\\_%' ESCAPE '\\'"
    triggers = database.execute(f"SELECT name FROM main.sqlite_master WHERE {named}").fetchall()
    database.execute("BEGIN IMMEDIATE")
    for (name,) in triggers:
        database.execute(f'DROP TRIGGER main."{name}"')
    for name in (FOLLOWED, CHANGES):
        database.execute(f"DROP TABLE IF EXISTS main.{name}")
    database.execute("COMMIT")
    return bool(triggers)


def followed_draft(database: sqlite3.Connection) -> str | None:
    """Return the draft for which this file records changes; None if it records none, or if rows may have new numbers.

    VACUUM gives rows new numbers, and counts as a change of the schema, as does creating a table or trigger.
    """
    columns = [name for _, name, *_ in database.execute(f"PRAGMA main.table_info({FOLLOWED})")]
    if not columns:
        return None
    (mark,) = database.execute(f"SELECT MAX(mark) FROM main.{FOLLOWED}").fetchone()
    if columns != _FOLLOWED_COLUMNS or not str(mark).startswith(f"followed {FORMAT} "):
        print("Another version of Orion copied the database ahead, so it is copied again.", file=sys.stderr, flush=True)
        return None
    (schema,) = database.execute("PRAGMA main.schema_version").fetchone()
    found = database.execute(
        f"SELECT mark FROM main.{FOLLOWED} WHERE schema = ? AND {_LAST_CHANGE} < most", [schema]
    ).fetchone()
    return None if found is None else str(found[0])


def waiting(database: sqlite3.Connection) -> tuple[int, int]:
    """Return the number of the last change, and of all recorded ones. Raises DatabaseUnusable if some are missing."""
    last, count = database.execute(f"SELECT MAX(number), COUNT(*) FROM main.{CHANGES}").fetchone()
    (most,) = database.execute(f"SELECT most FROM main.{FOLLOWED}").fetchone()
    if count and last >= most:
        raise DatabaseUnusable(
            f"The database changes faster than it is copied: more than {MOST_CHANGES:,} changes were noted "
            "in the meantime. Run this again when there is less activity."
        )
    return last or 0, count


def forget(database: sqlite3.Connection, last: int) -> None:
    """Delete the records of changes up to this number, and make room for further ones."""
    database.execute("BEGIN IMMEDIATE")
    database.execute(f"DELETE FROM main.{CHANGES} WHERE number <= ?", [last])
    # If the limit was reached in the meantime, keep it: some changes were not recorded.
    database.execute(
        f"UPDATE main.{FOLLOWED} SET most = {_LAST_CHANGE} + ? WHERE {_LAST_CHANGE} < most", [MOST_CHANGES]
    )
    database.execute("COMMIT")


def tables_in(database: sqlite3.Connection) -> dict[str, str]:
    """Return the tables of the file with their SQL, except those of this module."""
    found = database.execute("SELECT name, sql FROM main.sqlite_master WHERE type = 'table' AND sql IS NOT NULL")
    return {name: sql for name, sql in found if not name.startswith("sqlite_") and name not in (FOLLOWED, CHANGES)}
