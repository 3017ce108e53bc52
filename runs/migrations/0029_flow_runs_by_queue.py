from __future__ import annotations

from django.db import connection, migrations, models

from runs.rebuilt_indexes import RebuildIndex


class Migration(migrations.Migration):
    """Index flow runs by the id of their queue: SQLite read all runs for those of a queue or pool."""

    # An index that is built beside writers cannot be part of a transaction.
    atomic = connection.vendor == "sqlite"

    dependencies = [("runs", "0028_next_starts_of_task_runs")]

    operations = [
        RebuildIndex(
            "flowrun",
            models.Index(
                fields=["work_queue_id", "expected_start_time"],
                name="flow_run_by_queue",
                condition=models.Q(work_queue_id__isnull=False),
            ),
        )
    ]
