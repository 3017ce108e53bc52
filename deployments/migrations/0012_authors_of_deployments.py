from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deployments", "0011_results_of_deployments")]

    operations = [
        migrations.AddField("deployment", "author", models.IntegerField(editable=False, null=True)),
        migrations.AddField(
            "deployment", "author_name", models.CharField(editable=False, max_length=150, null=True)
        ),
        migrations.AddField(
            "deployment",
            "secrets",
            models.JSONField(
                blank=True, default=list, help_text="The blocks whose secrets its runs may read, as type/name."
            ),
        ),
        migrations.AddField("schedule", "created_by", models.JSONField(editable=False, null=True)),
        migrations.AddField("schedule", "updated_by", models.JSONField(editable=False, null=True)),
        migrations.AddField("backfill", "author", models.IntegerField(editable=False, null=True)),
        migrations.AddField("workqueue", "polled_by", models.JSONField(default=list, editable=False)),
        migrations.AddIndex(
            "deployment",
            models.Index(
                fields=["author"], name="deployment_author", condition=models.Q(("author__isnull", False))
            ),
        ),
    ]
