"""Saved searches get owners, and are for everyone or for their owner; users have default views.

Searches from before have no owner, and everyone sees them.
"""

from typing import Any

from django.db import migrations, models

LONGEST_NAME = 255


def make_names_unique(apps: Any, schema_editor: Any) -> None:
    """Give each search a name of its own: without owners, two searches cannot have the same name."""
    searches = apps.get_model("runs", "SavedSearch").objects
    taken = set(searches.filter(private_to=None).values_list("name", flat=True))
    for search in searches.exclude(private_to=None).order_by("id"):
        if search.name in taken:
            search.name = f"{search.name[: LONGEST_NAME - 39]} ({search.pk})"
            search.save(update_fields=["name"])
        taken.add(search.name)


class Migration(migrations.Migration):
    dependencies = [("runs", "0032_servers_of_held_calls")]

    operations = [
        migrations.AddField("savedsearch", "created_by", models.JSONField(editable=False, null=True)),
        migrations.AddField(
            "savedsearch",
            "private_to",
            models.IntegerField(
                blank=True,
                help_text="The id of the only user who sees it; 0 for the owner of the server. Empty: everyone sees it.",
                null=True,
            ),
        ),
        migrations.AlterField("savedsearch", "name", models.CharField(max_length=255)),
        migrations.AddConstraint(
            "savedsearch",
            models.UniqueConstraint(
                condition=models.Q(private_to__isnull=True), fields=("name",), name="one_shared_search_per_name"
            ),
        ),
        migrations.AddConstraint(
            "savedsearch",
            models.UniqueConstraint(fields=("private_to", "name"), name="one_private_search_per_name"),
        ),
        migrations.CreateModel(
            "DefaultView",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("user", models.IntegerField()),
                ("list_name", models.CharField(max_length=40)),
                ("key", models.CharField(max_length=40)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("user", "list_name"), name="one_default_view_per_list")
                ],
            },
        ),
        # The last one, which is the first when the migration is undone.
        migrations.RunPython(migrations.RunPython.noop, make_names_unique),
    ]
