from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('events', '0002_notifications_and_automations'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['received', 'id'], name='event_by_arrival'),
        ),
    ]
