from __future__ import annotations

from django.db import connection, migrations

from runs.rebuilt_indexes import rebuild_beside_writers

NAME = "task_run_by_start"
BY_PAGES = (
    f'CREATE INDEX CONCURRENTLY "{NAME}" ON runs_taskrun USING brin (start_time) '
    "WITH (pages_per_range = 16, autosummarize = on)"
)


def index_pages(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        rebuild_beside_writers(schema_editor, NAME, BY_PAGES)


def index_rows(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        statement = f'CREATE INDEX CONCURRENTLY "{NAME}" ON runs_taskrun (start_time, id)'
        rebuild_beside_writers(schema_editor, NAME, statement)


class Migration(migrations.Migration):
    """PostgreSQL finds task runs by their start by the pages that they lie in: no list is in that order.

    An entry for each row took 40 to 80 bytes. Of the models SQLite has the index, which has no other kind.
    """

    # An index that is built beside writers cannot be part of a transaction.
    atomic = connection.vendor == "sqlite"

    dependencies = [("runs", "0024_starts_of_failures")]

    operations = [migrations.RunPython(index_pages, index_rows, elidable=False)]
