"""What failed lately is found by an index: actions of automations, and messages that were given up."""

from django.db import migrations, models
from django.db.models.deletion import CASCADE


class Migration(migrations.Migration):
    dependencies = [("events", "0006_plain_names")]

    operations = [
        migrations.AlterField(
            "ActionRun",
            "automation",
            models.ForeignKey(
                db_index=False, on_delete=CASCADE, related_name="action_runs", to="events.automation"
            ),
        ),
        migrations.AddIndex(
            "ActionRun", models.Index(fields=["automation", "created"], name="firing_of_automation")
        ),
        migrations.AddIndex(
            "ActionRun",
            models.Index(fields=["created"], name="firing_failed", condition=models.Q(("error", ""), _negated=True)),
        ),
        migrations.AddIndex("ActionRun", models.Index(fields=["done_at"], name="firing_done")),
        migrations.AlterField(
            "Notification",
            "block_document",
            models.ForeignKey(
                db_index=False, on_delete=CASCADE, related_name="+", to="deployments.blockdocument"
            ),
        ),
        migrations.AddIndex(
            "Notification", models.Index(fields=["block_document", "created"], name="notification_of_block")
        ),
        migrations.AddIndex(
            "Notification",
            models.Index(
                fields=["created"], name="notification_given_up", condition=models.Q(("standing", "GIVEN_UP"))
            ),
        ),
    ]
