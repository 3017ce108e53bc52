from __future__ import annotations

from functools import reduce
from operator import and_, or_

from django.db import connection, migrations, models

from runs.rebuilt_indexes import RebuildIndex, rebuild_beside_writers

HAS_ENDED_BADLY = reduce(or_, (models.Q(state_type=one) for one in ("FAILED", "CRASHED", "CANCELLED")))
IS_IN_RARE_STATE = reduce(
    and_, (~models.Q(state_name=one) for one in ("Completed", "Pending", "Running", "Scheduled"))
)
FLOW_RUN_INDEXES = [
    models.Index(fields=["expected_start_time", "id"], name="flow_run_by_expected_start"),
    models.Index(fields=["state_type", "expected_start_time"], name="flow_run_by_state"),
    models.Index(fields=["flow", "expected_start_time"], name="flow_run_by_flow"),
    models.Index(fields=["flow", "state_type", "expected_start_time"], name="flow_run_by_flow_state"),
    models.Index(
        fields=["state_type", "expected_start_time"], name="flow_run_ended_badly_at", condition=HAS_ENDED_BADLY
    ),
    models.Index(
        fields=["state_name", "expected_start_time"], name="flow_run_by_rare_state", condition=IS_IN_RARE_STATE
    ),
    models.Index(
        fields=["work_queue_name", "expected_start_time"],
        name="flow_run_by_queue_name",
        condition=models.Q(work_queue_name__isnull=False),
    ),
    models.Index(fields=["deployment_id", "state_type", "expected_start_time"], name="flow_run_by_deployed_state"),
    models.Index(
        fields=["deployment_id", "expected_start_time"],
        name="flow_run_by_deployment",
        condition=models.Q(deployment_id__isnull=False),
    ),
]
TASK_RUN_INDEXES = [
    models.Index(fields=["expected_start_time", "id"], name="task_run_by_expected_start"),
    models.Index(
        fields=["state_type", "expected_start_time"], name="task_run_ended_badly_at", condition=HAS_ENDED_BADLY
    ),
]


def rebuild_indexes_by_end(apps, schema_editor):
    for table, name in (("runs_flowrun", "flow_run_by_end"), ("runs_taskrun", "task_run_by_end")):
        if schema_editor.connection.vendor == "postgresql":
            statement = f'CREATE INDEX CONCURRENTLY "{name}" ON {table} (end_time NULLS FIRST, id)'
            rebuild_beside_writers(schema_editor, name, statement)
        else:
            schema_editor.execute(f"DROP INDEX IF EXISTS {name}")
            schema_editor.execute(f"CREATE INDEX {name} ON {table} (end_time, id)")


class Migration(migrations.Migration):
    """New rows belong behind the others: in front of them, where descending indexes have them, pages stay half empty."""

    # An index that is built beside writers cannot be part of a transaction; a SQLite file has no other writers now.
    atomic = connection.vendor == "sqlite"

    dependencies = [("runs", "0016_environments_of_runs")]

    operations = [
        *(RebuildIndex(model_name="flowrun", index=index) for index in FLOW_RUN_INDEXES),
        *(RebuildIndex(model_name="taskrun", index=index) for index in TASK_RUN_INDEXES),
        migrations.RunPython(rebuild_indexes_by_end, migrations.RunPython.noop, atomic=False, elidable=False),
    ]
