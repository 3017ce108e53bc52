from __future__ import annotations

from uuid import UUID

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0019_ids_of_sixteen_bytes")]

    operations = [
        migrations.CreateModel(
            name="Conversion",
            fields=[
                ("name", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("position", models.UUIDField(default=UUID("00000000-0000-0000-0000-000000000000"))),
                ("finished", models.DateTimeField(null=True)),
            ],
        ),
    ]
