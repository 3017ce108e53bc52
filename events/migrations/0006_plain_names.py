"""Models get other names, and keep their tables."""

from django.db import migrations, models
from django.db.models.deletion import CASCADE


class Migration(migrations.Migration):
    dependencies = [("events", "0005_told_statuses")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameModel("Tally", "TriggerState"),
                migrations.AlterModelTable("TriggerState", "events_tally"),
                migrations.AlterField(
                    "TriggerState",
                    "automation",
                    models.ForeignKey(
                        db_index=False, on_delete=CASCADE, related_name="trigger_states", to="events.automation"
                    ),
                ),
                migrations.RenameModel("Firing", "ActionRun"),
                migrations.AlterModelTable("ActionRun", "events_firing"),
                migrations.AlterField(
                    "ActionRun",
                    "automation",
                    models.ForeignKey(on_delete=CASCADE, related_name="action_runs", to="events.automation"),
                ),
                migrations.RenameModel("ToldStatus", "RecordedStatus"),
                migrations.AlterModelTable("RecordedStatus", "events_toldstatus"),
                migrations.AlterModelOptions("RecordedStatus", {"verbose_name_plural": "recorded statuses"}),
            ]
        )
    ]
