from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0029_flow_runs_by_queue")]

    operations = [
        migrations.CreateModel(
            name="HeldCall",
            fields=[
                ("task_run_id", models.UUIDField(primary_key=True, serialize=False)),
                ("held_until", models.DateTimeField()),
            ],
        ),
    ]
