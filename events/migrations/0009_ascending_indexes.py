from __future__ import annotations

from django.db import connection, migrations, models

from runs.rebuilt_indexes import RebuildIndex


class Migration(migrations.Migration):
    """As of runs: new rows belong behind the others."""

    atomic = connection.vendor == "sqlite"

    dependencies = [("events", "0008_authors_of_automations")]

    operations = [
        RebuildIndex("event", models.Index(fields=["occurred", "id"], name="event_by_time")),
        RebuildIndex("event", models.Index(fields=["event", "occurred"], name="event_by_name")),
        RebuildIndex("event", models.Index(fields=["resource_id", "occurred"], name="event_by_resource")),
    ]
