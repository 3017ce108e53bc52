from __future__ import annotations

from functools import reduce
from operator import or_

from django.db import migrations, models

TYPES = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED")
IS_KNOWN = models.Q(state_type__isnull=True) | reduce(or_, (models.Q(state_type=one) for one in TYPES))
LISTED = f'"state_type" IN ({", ".join(map(repr, TYPES))})'
SPELLED = "(" + " OR ".join(f'"state_type" = {one!r}' for one in TYPES) + ")"


def spell(apps, schema_editor):
    respell(schema_editor, LISTED, SPELLED)


def list_again(apps, schema_editor):
    respell(schema_editor, SPELLED, LISTED)


def respell(schema_editor, old, new):
    """Change the wording of a condition in place, as SQLite's own documentation of ALTER TABLE has it.

    It means what it meant, so no row has to be looked at; Django would copy both tables for it. PostgreSQL keeps its
    condition, which costs nothing there.
    """
    if schema_editor.connection.vendor != "sqlite":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("PRAGMA schema_version")
        version = cursor.fetchone()[0]
        cursor.execute("PRAGMA writable_schema = ON")
        cursor.execute(
            "UPDATE sqlite_master SET sql = replace(sql, %s, %s) "
            "WHERE type = 'table' AND name IN ('runs_flowrun', 'runs_taskrun')",
            [old, new],
        )
        cursor.execute(f"PRAGMA schema_version = {version + 1}")
        cursor.execute("PRAGMA writable_schema = OFF")


class Migration(migrations.Migration):
    """Spell the check of states one by one: SQLite fills a table for a list of values, at every row that is written."""

    dependencies = [("runs", "0010_indexes_of_lists")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(spell, list_again, elidable=False)],
            state_operations=[
                operation
                for model, name in (("flowrun", "flow_run_state_type_known"), ("taskrun", "task_run_state_type_known"))
                for operation in (
                    migrations.RemoveConstraint(model_name=model, name=name),
                    migrations.AddConstraint(
                        model_name=model, constraint=models.CheckConstraint(condition=IS_KNOWN, name=name)
                    ),
                )
            ],
        )
    ]
