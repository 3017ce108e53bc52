from __future__ import annotations

from functools import reduce
from operator import and_, or_

from django.db import connection, migrations, models
from django.db.models.functions import Coalesce

AT_ONCE = 20_000
OPEN = ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"]
BAD = ("FAILED", "CRASHED", "CANCELLED")
COMMON_NAMES = ("Completed", "Pending", "Running", "Scheduled")
IS_OPEN = reduce(or_, (models.Q(state_type=one) for one in OPEN))
IS_HOLDING = reduce(or_, (models.Q(state_type=one) for one in ("PENDING", "RUNNING", "CANCELLING")))
HAS_ENDED_BADLY = reduce(or_, (models.Q(state_type=one) for one in BAD))
IS_IN_RARE_STATE = reduce(and_, (~models.Q(state_name=one) for one in COMMON_NAMES))


class AddIndexBesideWriters(migrations.AddIndex):
    """Add an index without keeping others from writing, and once more where an upgrade was ended before its time."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        drop_index(schema_editor, self.index.name)
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.add_index(model, self.index, concurrently=True)
        else:
            schema_editor.add_index(model, self.index)


def drop_index(schema_editor, name):
    beside = "CONCURRENTLY" if schema_editor.connection.vendor == "postgresql" else ""
    schema_editor.execute(f"DROP INDEX {beside} IF EXISTS {name}")


def fill_tags_on_postgresql(apps, schema_editor):
    """Write the tags of runs that were there before the triggers, in many small transactions."""
    if schema_editor.connection.vendor != "postgresql":
        return
    for kind in ("flowrun", "taskrun"):
        runs, last = f"runs_{kind}", None
        while True:
            after = "" if last is None else "WHERE id > %s"
            until = f"SELECT max(id::text)::uuid FROM (SELECT id FROM {runs} {after} ORDER BY id LIMIT {AT_ONCE}) AS batch"
            with schema_editor.connection.cursor() as cursor:
                cursor.execute(until, [] if last is None else [last])
                end = cursor.fetchone()[0]
                if end is None:
                    break
                beyond = "id <= %s" if last is None else "id <= %s AND id > %s"
                # Held, so that none of them is deleted or given other tags meanwhile.
                cursor.execute(
                    f"WITH held AS (SELECT id, tags, expected_start_time FROM {runs} "
                    f"WHERE {beyond} AND tags <> '[]' FOR SHARE) "
                    f"INSERT INTO {runs}tag (tag, run_id, expected_start_time) "
                    "SELECT DISTINCT value, id, expected_start_time FROM held, jsonb_array_elements_text(tags) "
                    "ON CONFLICT DO NOTHING",
                    [end] if last is None else [end, last],
                )
            last = end


def add_indexes_by_end(apps, schema_editor):
    """Index the end of runs: descending, and none of it last. Only PostgreSQL lets an index say the latter."""
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    for table, name in (("runs_flowrun", "flow_run_by_end"), ("runs_taskrun", "task_run_by_end")):
        drop_index(schema_editor, name)
        columns = "end_time DESC NULLS LAST, id DESC" if is_postgresql else "end_time DESC, id DESC"
        beside = "CONCURRENTLY" if is_postgresql else ""
        schema_editor.execute(f"CREATE INDEX {beside} {name} ON {table} ({columns})")
    if is_postgresql:
        # The rows of tags do what it did.
        drop_index(schema_editor, "flow_run_by_tags")


def drop_indexes_by_end(apps, schema_editor):
    for name in ("flow_run_by_end", "task_run_by_end"):
        drop_index(schema_editor, name)
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("CREATE INDEX CONCURRENTLY flow_run_by_tags ON runs_flowrun USING gin (tags jsonb_path_ops)")


def let_the_planner_know(apps, schema_editor):
    # All of it: of some rows alone SQLite takes a state that most runs are in for a seldom one.
    for table in ("runs_flowrun", "runs_taskrun", "runs_flowruntag", "runs_taskruntag"):
        schema_editor.execute(f"ANALYZE {table}")


FLOW_RUN_INDEXES = [
    models.Index(fields=["flow", "state_type", "-expected_start_time"], name="flow_run_by_flow_state"),
    models.Index(
        fields=["state_type", "expected_start_time"], name="flow_run_open", condition=IS_OPEN
    ),
    models.Index(fields=["state_type", "id"], name="flow_run_ended_badly", condition=HAS_ENDED_BADLY),
    models.Index(fields=["state_type", "-expected_start_time"], name="flow_run_ended_badly_at", condition=HAS_ENDED_BADLY),
    models.Index(fields=["name", "id"], name="flow_run_by_name"),
    models.Index(Coalesce("start_time", "expected_start_time", "created"), models.F("id"), name="flow_run_by_start"),
    models.Index(fields=["start_time", "id"], name="flow_run_by_real_start"),
    models.Index(fields=["next_scheduled_start_time", "id"], name="flow_run_by_next_start"),
    models.Index(
        fields=["state_name", "-expected_start_time"],
        name="flow_run_by_rare_state",
        condition=IS_IN_RARE_STATE,
    ),
    models.Index(
        fields=["work_queue_name", "-expected_start_time"],
        name="flow_run_by_queue_name",
        condition=models.Q(work_queue_name__isnull=False),
    ),
    models.Index(fields=["flow_version"], name="flow_run_by_version", condition=models.Q(flow_version__isnull=False)),
    models.Index(fields=["idempotency_key"], name="flow_run_by_key", condition=models.Q(idempotency_key__isnull=False)),
    models.Index(fields=["deployment_id", "state_type", "-expected_start_time"], name="flow_run_by_deployed_state"),
]
TASK_RUN_INDEXES = [
    models.Index(fields=["state_type", "id"], name="task_run_ended_badly", condition=HAS_ENDED_BADLY),
    models.Index(fields=["state_type", "-expected_start_time"], name="task_run_ended_badly_at", condition=HAS_ENDED_BADLY),
    models.Index(
        fields=["state_name", "id"], name="task_run_by_rare_state", condition=IS_IN_RARE_STATE
    ),
    models.Index(fields=["name", "id"], name="task_run_by_name"),
    models.Index(fields=["start_time", "id"], name="task_run_by_start"),
]

# As they were, but for the spelling of their conditions: SQLite fills a table for each list of three and more values
# at every row that is written.
SPELLED_OTHERWISE = {
    "flowrun": [
        models.Index(
            fields=["process"], name="flow_run_open_process", condition=models.Q(process__isnull=False) & IS_OPEN
        ),
        models.Index(
            fields=["state_type", "parent_task_run"],
            name="flow_run_open_nested",
            condition=models.Q(parent_task_run__isnull=False) & IS_OPEN,
        ),
        models.Index(
            fields=["work_queue_id"],
            name="flow_run_holding_queue",
            condition=models.Q(work_queue_id__isnull=False) & IS_HOLDING,
        ),
        models.Index(
            fields=["deployment_id"],
            name="flow_run_holding_deployment",
            condition=models.Q(deployment_id__isnull=False) & IS_HOLDING,
        ),
    ],
    "taskrun": [models.Index(fields=["state_type", "flow_run"], name="task_run_unfinished", condition=IS_OPEN)],
}


class Migration(migrations.Migration):
    """Whatever lists can be asked for is answered by an index: on PostgreSQL they are built while others write."""

    # An index that is built beside writers cannot be part of a transaction; a SQLite file has no other writers now.
    atomic = connection.vendor == "sqlite"

    dependencies = [("runs", "0009_tags_of_runs")]

    operations = [
        migrations.RunPython(fill_tags_on_postgresql, migrations.RunPython.noop, atomic=False, elidable=False),
        *(AddIndexBesideWriters(model_name="flowrun", index=index) for index in FLOW_RUN_INDEXES),
        *(AddIndexBesideWriters(model_name="taskrun", index=index) for index in TASK_RUN_INDEXES),
        *(
            operation
            for model, indexes in SPELLED_OTHERWISE.items()
            for index in indexes
            for operation in (
                migrations.RemoveIndex(model_name=model, name=index.name),
                AddIndexBesideWriters(model_name=model, index=index),
            )
        ),
        migrations.RunPython(add_indexes_by_end, drop_indexes_by_end, atomic=False, elidable=False),
        migrations.RunPython(let_the_planner_know, migrations.RunPython.noop, atomic=False, elidable=False),
    ]
