from __future__ import annotations

from django.db import migrations

INDEXES = {"runs_flowrun": "flow_run_without_tags", "runs_taskrun": "task_run_without_tags"}


def index_runs_without_tags(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        for table, index in INDEXES.items():
            schema_editor.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {table} (tags) WHERE tags = '[]'")
            # A planner without statistics takes the runs without tags for few.
            schema_editor.execute(f"ANALYZE {index}")


def drop_indexes(apps, schema_editor):
    for index in INDEXES.values():
        schema_editor.execute(f"DROP INDEX IF EXISTS {index}")


class Migration(migrations.Migration):
    """Index the runs without tags on SQLite, which would read all runs to find few."""

    dependencies = [("runs", "0025_starts_of_task_runs_by_pages")]

    operations = [migrations.RunPython(index_runs_without_tags, drop_indexes, elidable=False)]
