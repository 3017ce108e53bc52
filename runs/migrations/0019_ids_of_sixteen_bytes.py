from __future__ import annotations

from django.db import migrations


def refuse_texts(apps, schema_editor):
    """On SQLite `orion database upgrade` rewrites the file before it applies migrations; Django's own command cannot."""
    if schema_editor.connection.vendor != "sqlite":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT type FROM pragma_table_info('runs_flowrun') WHERE name = 'id'")
        if cursor.fetchone()[0].lower() != "blob":
            raise RuntimeError("This file has ids of 32 characters; have it rewritten by `orion database upgrade`.")


class Migration(migrations.Migration):
    """UUIDs are sixteen bytes on SQLite, as they are on PostgreSQL: no file with texts is taken for one of these."""

    dependencies = [("runs", "0018_folded_states")]

    operations = [migrations.RunPython(refuse_texts, migrations.RunPython.noop, elidable=False)]
