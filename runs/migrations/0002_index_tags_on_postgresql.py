from __future__ import annotations

from django.db import migrations


def create_index(apps, schema_editor):
    # Flow runs are searched by tag among millions. Task runs are not: they would pay for the index at each insert.
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("CREATE INDEX flow_run_by_tags ON runs_flowrun USING gin (tags jsonb_path_ops)")


def drop_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX flow_run_by_tags")


class Migration(migrations.Migration):
    """SQLite has no index for what is inside a JSON column; there the runs are read in order of time."""

    dependencies = [("runs", "0001_initial")]

    operations = [migrations.RunPython(create_index, drop_index, elidable=False)]
