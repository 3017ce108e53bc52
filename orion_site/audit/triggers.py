"""The triggers of the audit log: they store changed rows during acts, and protect entries from changes.

The name of each ends with a hash of its text, so that a trigger with another text is replaced.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from typing import NamedTuple

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from orion_site.audit.subjects import Subject, is_id, subjects
from runs.triggers import drop_triggers

# The setting on PostgreSQL that marks a transaction whose changes are recorded.
MARK = "orion.audited"
PREFIX = "audit_"
ENTRY, DAY = "audit_entry", "audit_day"
_REMOVED = f"EXISTS (SELECT 1 FROM {DAY} d WHERE d.day = OLD.day AND d.removed IS NOT NULL)"
KEPT = "Entries of the audit log are never changed."


class Trigger(NamedTuple):
    name: str
    table: str
    statement: str

    @classmethod
    def of(cls, name: str, table: str, statement: str) -> Trigger:
        """Return a trigger; in `statement`, {name} stands for the trigger's name."""
        whole = f"{PREFIX}{name}_{hashlib.sha256(statement.encode()).hexdigest()[:8]}"
        return cls(whole, table, statement.replace("{name}", whole))


def install() -> None:
    """Create missing triggers, and drop those with another text."""
    with connection.cursor() as cursor:
        wanted, present = _wanted(cursor), _present(cursor)
        if wanted.keys() == present.keys():
            return
        with transaction.atomic():
            if connection.vendor == "postgresql":
                for function in _FUNCTIONS:
                    cursor.execute(function)
            drop_triggers(cursor, {name: present[name] for name in present.keys() - wanted.keys()})
            for name in wanted.keys() - present.keys():
                cursor.execute(wanted[name].statement)


def is_complete() -> bool:
    """Whether all triggers exist on the existing tables; a server adds the tables of users."""
    with connection.cursor() as cursor:
        return _present(cursor).keys() >= _wanted(cursor).keys()


def remove() -> None:
    """Drop the triggers on tables that migrations may change."""
    with connection.cursor() as cursor:
        present = _present(cursor).items()
        drop_triggers(cursor, {name: table for name, table in present if table not in {ENTRY, DAY}})


def _present(cursor: CursorWrapper) -> dict[str, str]:
    if connection.vendor == "sqlite":
        cursor.execute(
            "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'audit\\_%' ESCAPE '\\'"
        )
    else:
        cursor.execute(
            "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE NOT t.tgisinternal AND t.tgname LIKE 'audit\\_%' AND pg_table_is_visible(c.oid)"
        )
    return dict(cursor.fetchall())


def _wanted(cursor: CursorWrapper) -> dict[str, Trigger]:
    """Return the triggers for existing tables, by name; none before the audit log exists."""
    columns = _columns_by_table(cursor)
    return {one.name: one for one in _all(columns) if one.table in columns} if ENTRY in columns else {}


def _columns_by_table(cursor: CursorWrapper) -> dict[str, set[str]]:
    if connection.vendor == "sqlite":
        cursor.execute(
            "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'"
        )
    else:
        cursor.execute(
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
            "WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND a.attnum > 0 AND NOT a.attisdropped"
        )
    found: defaultdict[str, set[str]] = defaultdict(set)
    for table, column in cursor.fetchall():
        found[table].add(column)
    return found


def _all(columns: Mapping[str, Set[str]]) -> Iterator[Trigger]:
    yield from _keeping_sqlite() if connection.vendor == "sqlite" else _keeping_postgresql()
    for subject in subjects().values():
        # After undone migrations, a table lacks columns that PostgreSQL would look for; the earlier version of Orion
        # creates triggers of its own on it.
        if subject.columns.keys() <= columns.get(subject.table, frozenset()):
            yield from _watching_sqlite(subject) if connection.vendor == "sqlite" else _watching_postgresql(subject)


# --- changed rows ----------------------------------------------------------------------------------------------------


def _watching_sqlite(subject: Subject) -> Iterator[Trigger]:
    table, columns = subject.table, list(subject.columns)
    marked = "EXISTS (SELECT 1 FROM audit_mark)"
    changed = " OR ".join(f'OLD."{one}" IS NOT NEW."{one}"' for one in columns)
    old, new = (_object(row, subject) for row in ("OLD", "NEW"))
    listed = ", ".join(f'"{one}"' for one in columns)
    for when, event, condition, before, after in (
        ("insert", "INSERT", "", "NULL", new),
        ("update", f"UPDATE OF {listed}", f" AND ({changed})", old, new),
        ("delete", "DELETE", "", old, "NULL"),
    ):
        yield Trigger.of(
            f"{table}_{when}",
            table,
            f'CREATE TRIGGER {{name}} AFTER {event} ON "{table}" WHEN {marked}{condition} BEGIN '
            f"INSERT INTO audit_change (\"table\", before, after) VALUES ('{table}', {before}, {after}); END",
        )


def _object(row: str, subject: Subject) -> str:
    ids = {name for name, column in subject.columns.items() if is_id(column)}
    # In parts, because a function of SQLite takes at most a hundred arguments.
    pairs = [
        f"'{one}', " + (f"NULLIF(hex({row}.\"{one}\"), '')" if one in ids else f'{row}."{one}"')
        for one in subject.columns
    ]
    parts = [f"json_object({', '.join(pairs[start : start + 40])})" for start in range(0, len(pairs), 40)]
    whole = parts[0]
    for part in parts[1:]:
        whole = f"json_patch({whole}, {part})"
    return whole


def _watching_postgresql(subject: Subject) -> Iterator[Trigger]:
    table = subject.table
    listed = ", ".join(f'"{one}"' for one in subject.columns)
    yield Trigger.of(
        table,
        table,
        f'CREATE TRIGGER {{name}} AFTER INSERT OR DELETE OR UPDATE OF {listed} ON "{table}" FOR EACH ROW '
        f"WHEN (current_setting('{MARK}', true) = '1') EXECUTE FUNCTION audit_keep_change()",
    )


# --- protection of entries -------------------------------------------------------------------------------------------


def _keeping_sqlite() -> Iterator[Trigger]:
    raising = f"BEGIN SELECT RAISE(ABORT, '{KEPT}'); END"
    yield Trigger.of("entry_update", ENTRY, f"CREATE TRIGGER {{name}} BEFORE UPDATE ON {ENTRY} {raising}")
    yield Trigger.of(
        "entry_delete", ENTRY, f"CREATE TRIGGER {{name}} BEFORE DELETE ON {ENTRY} WHEN NOT {_REMOVED} {raising}"
    )
    yield Trigger.of(
        "day_update", DAY, f"CREATE TRIGGER {{name}} BEFORE UPDATE ON {DAY} WHEN NOT ({_ALLOWED_OF_DAYS}) {raising}"
    )
    yield Trigger.of(
        "day_delete", DAY, f"CREATE TRIGGER {{name}} BEFORE DELETE ON {DAY} WHEN OLD.removed IS NULL {raising}"
    )
    # REPLACE deletes conflicting rows without running the triggers of deletions.
    for table, same in (
        (ENTRY, "id = NEW.id OR (day = NEW.day AND number = NEW.number)"),
        (DAY, "day = NEW.day"),
    ):
        yield Trigger.of(
            f"{table.removeprefix(PREFIX)}_replace",
            table,
            f"CREATE TRIGGER {{name}} BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) {raising}",
        )


def _keeping_postgresql() -> Iterator[Trigger]:
    for event, table, condition in (
        ("UPDATE", ENTRY, "true"),
        ("DELETE", ENTRY, ""),
        ("UPDATE", DAY, f"NOT ({_ALLOWED_OF_DAYS})"),
        ("DELETE", DAY, "OLD.removed IS NULL"),
    ):
        # The condition of a trigger cannot read other tables, so the function does.
        function = "audit_refuse" if condition else "audit_refuse_unless_removed"
        yield Trigger.of(
            f"{table.removeprefix(PREFIX)}_{event.lower()}",
            table,
            f"CREATE TRIGGER {{name}} BEFORE {event} ON {table} FOR EACH ROW "
            f"WHEN ({condition or 'true'}) EXECUTE FUNCTION {function}()",
        )
    for table in (ENTRY, DAY):
        yield Trigger.of(
            f"{table.removeprefix(PREFIX)}_truncate",
            table,
            f"CREATE TRIGGER {{name}} BEFORE TRUNCATE ON {table} EXECUTE FUNCTION audit_refuse()",
        )


# The allowed changes of a day: entries are added, or it is marked as removed without other changes.
_ALLOWED_OF_DAYS = (
    "NEW.day = OLD.day AND OLD.removed IS NULL AND (NEW.entries > OLD.entries AND NEW.removed IS NULL "
    "OR NEW.entries = OLD.entries AND NEW.head = OLD.head AND NEW.removed IS NOT NULL)"
)
_FUNCTIONS = (
    """
    CREATE OR REPLACE FUNCTION audit_keep_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO audit_change ("table", before, after) VALUES (TG_TABLE_NAME, NULL, to_jsonb(NEW)::text);
        ELSIF TG_OP = 'DELETE' THEN
            INSERT INTO audit_change ("table", before, after) VALUES (TG_TABLE_NAME, to_jsonb(OLD)::text, NULL);
        ELSE
            INSERT INTO audit_change ("table", before, after)
            VALUES (TG_TABLE_NAME, to_jsonb(OLD)::text, to_jsonb(NEW)::text);
        END IF;
        RETURN NULL;
    END $$
    """,
    f"""
    CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION '{KEPT}'; END $$
    """,
    f"""
    CREATE OR REPLACE FUNCTION audit_refuse_unless_removed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF {_REMOVED} THEN RETURN OLD; END IF;
        RAISE EXCEPTION '{KEPT}';
    END $$
    """,
)
