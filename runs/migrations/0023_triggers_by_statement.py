from __future__ import annotations

from django.db import migrations


def replace_triggers(apps, schema_editor):
    from runs.roll_ups.install import replace_triggers

    replace_triggers()


class Migration(migrations.Migration):
    """Changes of roll-ups are written once for each statement (PostgreSQL) or each of their keys (SQLite)."""

    # Each table of PostgreSQL in a transaction of its own; done twice, it is as done once.
    atomic = False

    dependencies = [
        ("runs", "0022_statistics_of_rebuilt_indexes"),
    ]

    operations = [migrations.RunPython(replace_triggers, migrations.RunPython.noop, elidable=False)]
