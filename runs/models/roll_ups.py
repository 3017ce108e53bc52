"""Roll-ups: how many runs there are by time and state, so that no page and no history counts them.

Triggers write down each change, in the transaction and statement that changes a run; a service adds the changes to the
totals. Both tables together say at every moment what counting the runs would say (`runs.roll_ups.sql`).
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q


class RowNumber(models.BigAutoField):  # type: ignore[type-arg]
    """Ascends, and on SQLite is the row's own number: remembering the highest that there ever was would be felt."""

    def db_type_suffix(self, connection: Any) -> str | None:
        return None if connection.vendor == "sqlite" else super().db_type_suffix(connection)


class Sums(models.Model):
    """Sums over some runs. Run times and lateness are in microseconds; times since 1970 in milliseconds."""

    runs = models.BigIntegerField()
    run_time = models.BigIntegerField()
    lateness = models.BigIntegerField()
    # Of running runs, since when: until now their run time has grown by as much.
    running_since = models.BigIntegerField()
    # Runs that have neither started nor ended, and for when they were expected: they become later by the second.
    waiting = models.BigIntegerField()
    waiting_since = models.BigIntegerField()

    class Meta:
        abstract = True


class RollUpChange(Sums):
    """How a run, or some at once, changed the numbers of its minute. Its numbers may be less than zero."""

    id = RowNumber(primary_key=True)
    kind = models.CharField(max_length=8)
    minute = models.CharField(max_length=16, help_text="Of the expected start, in UTC; empty where there is none.")
    flow = models.CharField(max_length=32)
    deployment = models.CharField(max_length=32)
    state_type = models.CharField(max_length=10)
    state_name = models.CharField(max_length=255)

    def __str__(self) -> str:
        return f"{self.runs:+} {self.kind} {self.state_name} {self.minute}"


class RollUp(Sums):
    """The numbers of one minute, hour or day, for all runs of a kind, or those of one flow or deployment."""

    subject = models.CharField(max_length=32, help_text="A kind of runs, or the hex of a flow's or deployment's id.")
    level = models.PositiveSmallIntegerField(help_text="In minutes: how long its time is.")
    bucket = models.CharField(max_length=16, help_text="Its time, as far as that is told: 2026-01-05 12:30.")
    state_type = models.CharField(max_length=10)
    state_name = models.CharField(max_length=255)

    class Meta:
        constraints = [
            # Histories and counts, by ranges of buckets.
            models.UniqueConstraint(
                fields=["subject", "level", "bucket", "state_type", "state_name"], name="one_roll_up_of_each"
            ),
        ]
        indexes = [
            # Those that nothing is left of: states that runs only passed through, and deleted runs.
            models.Index(fields=["id"], name="roll_up_of_nothing", condition=Q(runs=0)),
        ]

    def __str__(self) -> str:
        return f"{self.runs} {self.subject} {self.state_name} {self.bucket}"
