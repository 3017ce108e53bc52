from __future__ import annotations

from django.db import connection, migrations, models

from runs.rebuilt_indexes import RebuildIndex


class Migration(migrations.Migration):
    """Index the states of deployed runs, and of no others: whoever asks for a deployment asks for none without one."""

    atomic = connection.vendor == "sqlite"

    dependencies = [("runs", "0020_conversions")]

    operations = [
        RebuildIndex(
            "flowrun",
            models.Index(
                fields=["deployment_id", "state_type", "expected_start_time"],
                name="flow_run_by_deployed_state",
                condition=models.Q(deployment_id__isnull=False),
            ),
        )
    ]
