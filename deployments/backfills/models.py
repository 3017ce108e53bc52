"""Backfills: runs of a deployment for times in the past, created a few at a time."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from deployments.definitions.models import Deployment
from runs.models import NAME, Row


class Backfill(Row):
    """A period in the past for which a deployment is run: one run for each of its times."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"
        CANCELLED = "cancelled"
        DONE = "done"

    name = models.CharField(max_length=255, unique=True, validators=[NAME])
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="backfills")
    status = models.CharField(max_length=9, choices=Status, default=Status.ACTIVE)
    problem = models.TextField(default="", blank=True, help_text="Why it was paused, unless a user paused it.")
    start = models.DateTimeField()
    end = models.DateTimeField()
    definition = models.JSONField(help_text="The schedule that gives the times, in the format of the API.")
    calendars = models.JSONField(default=list, help_text="The names of the calendars whose times were left out.")
    parameters = models.JSONField(default=dict, blank=True)
    time_parameter = models.CharField(
        max_length=255, null=True, help_text="The parameter that receives the scheduled time."
    )
    newest_first = models.BooleanField(default=False)
    at_once = models.PositiveIntegerField(default=1, help_text="How many of its runs may be open at the same time.")
    again = models.BooleanField(default=False, help_text="Also run the times that already have a completed run.")
    work_queue_name = models.CharField(max_length=255, null=True, help_text="Empty: the work queue of the deployment.")
    total = models.PositiveIntegerField(default=0)
    ended_at = models.DateTimeField(null=True)
    # The user whose rights its runs have. Null: the owner of the server.
    author = models.IntegerField(null=True, editable=False)

    class Meta:
        ordering = ["-created", "-id"]
        # For the service that creates runs, which reads only active backfills.
        indexes = [models.Index(fields=["created"], name="backfill_active", condition=Q(status="active"))]

    def __str__(self) -> str:
        return self.name

    @property
    def tag(self) -> str:
        """Return the tag of its runs."""
        return f"backfill:{self.name}"


class BackfillTime(models.Model):
    """A time of a backfill. It refers to its run by id without a foreign key, because the run may be deleted."""

    backfill = models.ForeignKey(Backfill, on_delete=models.CASCADE, related_name="times", db_index=False)
    number = models.PositiveIntegerField(help_text="The position in the order in which runs are created.")
    at = models.DateTimeField()
    run_id = models.UUIDField(null=True)
    is_over = models.BooleanField(default=False, help_text="The run has ended or was deleted.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["backfill", "number"], name="one_time_per_number")]
        indexes = [
            # For the times without a run, in order.
            models.Index(fields=["backfill", "number"], name="backfill_time_left", condition=Q(run_id__isnull=True)),
            # For its open runs.
            models.Index(
                fields=["backfill"], name="backfill_time_open", condition=Q(run_id__isnull=False, is_over=False)
            ),
            # For the question whether a run belongs to a backfill.
            models.Index(fields=["run_id"], name="backfill_time_run", condition=Q(run_id__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.backfill_id} {self.at}"
