from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_identity")]

    operations = [
        migrations.CreateModel(
            name="RightsChanged",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.BigIntegerField(default=0)),
            ],
        ),
    ]
