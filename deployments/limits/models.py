"""Concurrency limits: limits on tags, named global limits, and the slots that are held under them."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from orionflow.contract.ids import uuid7
from runs.models import NAME, FlowRun, Row, TaskRun


class ConcurrencyLimit(Row):
    """How many task runs with this tag may be RUNNING at the same time."""

    tag = models.CharField(max_length=255, unique=True)
    concurrency_limit = models.PositiveIntegerField()

    class Meta:
        ordering = ["tag"]

    def __str__(self) -> str:
        return f"{self.tag}: {self.concurrency_limit}"


class Slot(models.Model):
    """One slot of a limit, held by one task run. Use is counted from these rows, so it cannot drift."""

    limit = models.ForeignKey(ConcurrencyLimit, on_delete=models.CASCADE, related_name="slots", db_index=False)
    # Without a constraint, because resetting a limit may give its slots to task runs that this server does not know.
    task_run = models.ForeignKey(TaskRun, on_delete=models.CASCADE, related_name="slots", db_constraint=False)
    taken_at = models.DateTimeField()
    epoch = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["limit", "task_run"], name="one_slot_per_run_and_limit")]

    def __str__(self) -> str:
        return f"{self.limit_id} held by {self.task_run_id}"


class GlobalLimit(Row):
    """How many slots with this name may be taken at the same time. Programs take and return them.

    Anonymous takers are only counted. With a decay, slots return by themselves, which makes a rate limit.
    """

    name = models.CharField(max_length=255, unique=True, validators=[NAME])
    limit = models.PositiveIntegerField()
    active = models.BooleanField(default=True)
    # Slots taken and denied as of `counted_at`; fractions, because of the decay.
    active_slots = models.FloatField(default=0)
    denied_slots = models.FloatField(default=0)
    counted_at = models.DateTimeField(default=timezone.now)
    slot_decay_per_second = models.FloatField(default=0)
    avg_slot_occupancy_seconds = models.FloatField(default=2)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name}: {self.limit}"


class GlobalSlot(models.Model):
    """Slots of a global limit that an identified holder, an attempt of a run, has for a limited time.

    Anonymous holders (other clients) are only counted in the limit itself.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    limit = models.ForeignKey(GlobalLimit, on_delete=models.CASCADE, related_name="slots")
    slots = models.PositiveIntegerField(default=1)
    flow_run = models.ForeignKey(FlowRun, on_delete=models.CASCADE, null=True, related_name="global_slots")
    task_run_id = models.UUIDField(null=True)
    epoch = models.PositiveIntegerField(default=0)
    taken_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        # The clean-up: which slots ended first?
        indexes = [models.Index(fields=["expires_at"], name="global_slot_by_end")]

    def __str__(self) -> str:
        return f"{self.slots} of {self.limit_id}"
