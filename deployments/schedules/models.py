"""Schedules, the calendars that they follow, and the skipped times and deadlines of planning."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from deployments.definitions.models import Deployment
from runs.models import NAME, FlowRun, Row


class Calendar(Row):
    """Days and times at which no runs start, such as holidays and maintenance. Many schedules may use one calendar."""

    name = models.CharField(max_length=255, unique=True, validators=[NAME])
    description = models.TextField(default="", blank=True)
    ics = models.TextField(help_text="An iCalendar document. Each event is a time to leave out.")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Schedule(Row):
    """When runs of a deployment are planned. `deployments.schedules.core` computes the times of a definition."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="schedules")
    definition = models.JSONField(help_text="In the format of the API: the field of its kind, with its time zone.")
    active = models.BooleanField(default=True)
    parameters = models.JSONField(default=dict, blank=True)
    max_active_runs = models.PositiveIntegerField(null=True)
    max_scheduled_runs = models.PositiveIntegerField(null=True, help_text="The most runs to plan ahead.")
    max_runs = models.PositiveIntegerField(null=True, help_text="The schedule ends after this many runs.")
    ends_at = models.DateTimeField(null=True)
    misfire = models.CharField(
        max_length=6, default="none", help_text="Which missed times to run: all, the latest, or none."
    )
    misfire_window = models.DurationField(null=True, help_text="Times missed longer ago than this are never run.")
    calendars = models.ManyToManyField(Calendar, blank=True, related_name="schedules")
    runs_planned = models.PositiveIntegerField(default=0)
    planned_until = models.DateTimeField(null=True, help_text="All times up to this moment are planned or skipped.")
    plan_at = models.DateTimeField(null=True, help_text="When to plan again. Empty: nothing is left to plan.")
    created_by = models.JSONField(null=True, editable=False)
    updated_by = models.JSONField(null=True, editable=False)

    class Meta:
        ordering = ["created", "id"]
        # The planner: which schedules are to be planned?
        indexes = [models.Index(fields=["plan_at"], name="schedule_to_plan", condition=Q(plan_at__isnull=False))]

    def __str__(self) -> str:
        return f"schedule {self.id}"


class SkippedTime(models.Model):
    """A time of a deployment whose planned run a user deleted. It gets no other run, even if it is planned again."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="skipped", db_index=False)
    at = models.DateTimeField()
    key = models.CharField(max_length=1024, help_text="The idempotency key of the run that was deleted.")
    schedule_id = models.UUIDField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["deployment", "key"], name="one_skip_per_key")]

    def __str__(self) -> str:
        return self.key


class Deadline(models.Model):
    """A time by which a run must have started or finished. Deleted when it is met, kept when it is missed."""

    class Kind(models.TextChoices):
        START = "start"
        FINISH = "finish"

    flow_run = models.ForeignKey(FlowRun, on_delete=models.CASCADE, related_name="deadlines", db_index=False)
    kind = models.CharField(max_length=6, choices=Kind)
    due = models.DateTimeField()
    missed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flow_run", "kind"], name="one_deadline_of_a_kind")]
        # The service of lateness: which deadlines have passed unnoticed?
        indexes = [models.Index(fields=["due"], name="deadline_to_watch", condition=Q(missed_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.kind} by {self.due}"
