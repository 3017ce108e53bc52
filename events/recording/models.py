"""Events of resources. Rows are written once; only `pending` changes."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from orionflow.contract.ids import uuid7


class Event(models.Model):
    """An event. `resource` and each of `related` are labels, including an id."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    occurred = models.DateTimeField()
    received = models.DateTimeField(default=timezone.now)
    event = models.CharField(max_length=255)
    resource_id = models.CharField(max_length=1024)
    resource = models.JSONField(default=dict)
    related = models.JSONField(default=list)
    payload = models.JSONField(default=dict)
    follows = models.UUIDField(null=True)
    # Whether automations still have to evaluate it. Stored with the event, so that late commits are evaluated late, not
    # lost.
    pending = models.BooleanField(default=True)

    class Meta:
        ordering = ["-occurred", "-id"]
        indexes = [
            # Lists and counts of a period, in their order.
            models.Index(fields=["occurred", "id"], name="event_by_time"),
            # Those with certain names only.
            models.Index(fields=["event", "occurred"], name="event_by_name"),
            # The newest event of each object, and rights on named objects.
            models.Index(fields=["resource_id", "occurred"], name="event_by_resource"),
            # For clients that follow events, whichever process stored them.
            models.Index(fields=["received", "id"], name="event_by_arrival"),
            # For `events.automations.services.evaluation`, in this order.
            models.Index(fields=["received", "id"], name="event_to_judge", condition=models.Q(pending=True)),
        ]

    def __str__(self) -> str:
        return f"{self.event} of {self.resource_id}"


class RecordedStatus(models.Model):
    """The status of a queue, a pool or a deployment in the last event about it.

    Statuses are computed when they are read, so only this row shows whether one has changed.
    """

    resource_id = models.CharField(max_length=255, primary_key=True)
    status = models.CharField(max_length=16)

    class Meta:
        db_table = "events_toldstatus"
        verbose_name_plural = "recorded statuses"

    def __str__(self) -> str:
        return f"{self.resource_id}: {self.status}"
