"""The tables of a new SQLite file, made as the models are now.

Django's migrations, one after the other, would render the models of each moment in between: a second for what takes a
tenth of one. A test compares what both ways make. Rows that migrations move are none in a new file, and what models
cannot declare is made after every migration.
"""

from __future__ import annotations

from django.apps import apps
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from orion_site.database.migration_files import known_migrations


def make_tables() -> None:
    """Make all tables, and record the migrations that would have made them."""
    recorder = MigrationRecorder(connection)
    with connection.schema_editor() as editor:
        for model in apps.get_models():
            if model._meta.managed and not model._meta.proxy:
                editor.create_model(model)
        recorder.ensure_schema()
        recorder.migration_qs.bulk_create(recorder.Migration(app=app, name=name) for app, name in known_migrations())
    with connection.cursor() as cursor:
        # There are no rows yet, but a place for what the planner learns of them.
        cursor.execute("ANALYZE")
    emit_post_migrate_signal(verbosity=0, interactive=False, db=connection.alias)
