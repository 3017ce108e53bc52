from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0030_held_calls")]

    operations = [migrations.AddField("flowrun", "limited_by", models.JSONField(editable=False, null=True))]
