"""The tables of a new SQLite file, created from the present models.

Running Django's migrations one by one would build the models of each state in between, and take a second instead of a
tenth. A test compares the results of both ways. A new file has no rows that migrations would change, and what models
cannot declare is created after every migration.
"""

from __future__ import annotations

from django.apps import apps
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from orion_site.database.migration_files import known_migrations


def make_tables() -> None:
    """Create all tables, and record all migrations as applied."""
    recorder = MigrationRecorder(connection)
    with connection.schema_editor() as editor:
        for model in apps.get_models():
            if model._meta.managed and not model._meta.proxy:
                editor.create_model(model)
        recorder.ensure_schema()
        recorder.migration_qs.bulk_create(recorder.Migration(app=app, name=name) for app, name in known_migrations())
    with connection.cursor() as cursor:
        # There are no rows yet, but this creates the tables for the planner's statistics.
        cursor.execute("ANALYZE")
    emit_post_migrate_signal(verbosity=0, interactive=False, db=connection.alias)
