from __future__ import annotations

from django.db import migrations


def let_the_planner_know(apps, schema_editor):
    """SQLite forgets what it knows of an index with the index, and then begins lists of runs with their flows."""
    if schema_editor.connection.vendor != "sqlite":
        return
    for table in ("runs_flowrun", "runs_taskrun"):
        # All of it: of some rows alone SQLite takes a state that most runs are in for a seldom one.
        schema_editor.execute(f"ANALYZE {table}")


class Migration(migrations.Migration):
    """Look at the indexes that were rebuilt since the statistics were made."""

    dependencies = [
        ("runs", "0021_deployed_runs_alone"),
    ]

    operations = [migrations.RunPython(let_the_planner_know, migrations.RunPython.noop, elidable=False)]
