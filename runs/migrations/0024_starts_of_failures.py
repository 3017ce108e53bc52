from __future__ import annotations

from functools import reduce
from operator import or_

from django.db import connection, migrations, models

from runs.rebuilt_indexes import RebuildIndex

HAS_ENDED_BADLY = reduce(or_, (models.Q(state_type=one) for one in ("FAILED", "CRASHED", "CANCELLED")))


def by_start(name):
    return models.Index(fields=["state_type", "start_time"], name=name, condition=HAS_ENDED_BADLY)


class Migration(migrations.Migration):
    """Index when runs began that ended badly: few among many, and counted by days again and again."""

    atomic = connection.vendor == "sqlite"

    dependencies = [("runs", "0023_triggers_by_statement")]

    operations = [
        RebuildIndex("flowrun", by_start("flow_run_ended_badly_since")),
        RebuildIndex("taskrun", by_start("task_run_ended_badly_since")),
    ]
