"""Roll-ups: the number of runs by time and state, so that pages and histories need not count runs.

Triggers record each change in the statement that changes a run; a service adds these changes to the totals. At any
moment both tables together give the same numbers as counting the runs (`runs.roll_ups.sql`).
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q


class RowNumber(models.BigAutoField):  # type: ignore[type-arg]
    """An ascending key; on SQLite the rowid itself, since AUTOINCREMENT would slow down each insert."""

    def db_type_suffix(self, connection: Any) -> str | None:
        return None if connection.vendor == "sqlite" else super().db_type_suffix(connection)


class Sums(models.Model):
    """Sums over some runs. Run times and lateness are in microseconds; times are milliseconds since 1970."""

    runs = models.BigIntegerField()
    run_time = models.BigIntegerField()
    lateness = models.BigIntegerField()
    # The sum of the times since which the running runs run. The time since then is added to their run time.
    running_since = models.BigIntegerField()
    # The number of runs that have neither started nor ended, and the sum of their expected start times: their lateness
    # grows with time.
    waiting = models.BigIntegerField()
    waiting_since = models.BigIntegerField()

    class Meta:
        abstract = True


class RollUpChange(Sums):
    """The change of the numbers of one minute by one or more runs. Numbers may be negative."""

    id = RowNumber(primary_key=True)
    kind = models.CharField(max_length=8)
    minute = models.CharField(
        max_length=16, help_text="The minute of the expected start, in UTC. Empty if there is none."
    )
    flow = models.CharField(max_length=32)
    deployment = models.CharField(max_length=32)
    state_type = models.CharField(max_length=10)
    state_name = models.CharField(max_length=255)

    def __str__(self) -> str:
        return f"{self.runs:+} {self.kind} {self.state_name} {self.minute}"


class RollUp(Sums):
    """The numbers of one minute, hour or day, for all runs of a kind, or those of one flow or deployment."""

    subject = models.CharField(
        max_length=32, help_text="A kind of runs, or the id of a flow or deployment in hexadecimal."
    )
    level = models.PositiveSmallIntegerField(help_text="The length of the period, in minutes.")
    bucket = models.CharField(
        max_length=16, help_text="The start of the period: 2026-01-05, 2026-01-05 12 or 2026-01-05 12:30."
    )
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
            # Rows whose runs have all gone: states that runs only passed through, and deleted runs.
            models.Index(fields=["id"], name="roll_up_of_nothing", condition=Q(runs=0)),
        ]

    def __str__(self) -> str:
        return f"{self.runs} {self.subject} {self.state_name} {self.bucket}"
