from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0013_run_retries")]

    operations = [
        migrations.AddField("bulkaction", "user", models.IntegerField(editable=False, null=True)),
        migrations.AddField(
            "bulkaction",
            "problem",
            models.TextField(blank=True, default="", help_text="Why it was stopped, if nobody asked for that."),
        ),
    ]
