from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0017_ascending_indexes")]

    operations = [
        migrations.AddField(model_name="taskrun", name="folded_states", field=models.BinaryField(null=True)),
    ]
