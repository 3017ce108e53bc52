from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0031_limits_of_runs")]

    operations = [migrations.AddField("heldcall", "server", models.UUIDField(null=True))]
