from __future__ import annotations

from django.db import connection, migrations, models

from runs.rebuilt_indexes import RebuildIndex


class Migration(migrations.Migration):
    """Index the next start of task runs that have one: a list in this order sorted all task runs."""

    # An index that is built beside writers cannot be part of a transaction.
    atomic = connection.vendor == "sqlite"

    dependencies = [("runs", "0027_plain_help_texts")]

    operations = [
        RebuildIndex(
            "taskrun",
            models.Index(
                fields=["next_scheduled_start_time", "id"],
                name="task_run_by_next_start",
                condition=models.Q(next_scheduled_start_time__isnull=False),
            ),
        )
    ]
