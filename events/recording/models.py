"""Events of resources. Rows are written once and never changed."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from orionflow.contract.ids import uuid7


class Event(models.Model):
    """An event. `resource` and each of `related` are labels, with an id among them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    occurred = models.DateTimeField()
    received = models.DateTimeField(default=timezone.now)
    event = models.CharField(max_length=255)
    resource_id = models.CharField(max_length=1024)
    resource = models.JSONField(default=dict)
    related = models.JSONField(default=list)
    payload = models.JSONField(default=dict)
    follows = models.UUIDField(null=True)
    # Until automations have judged it. Written with the event: what is committed late is judged late, and not lost.
    pending = models.BooleanField(default=True)

    class Meta:
        ordering = ["-occurred", "-id"]
        indexes = [
            models.Index(fields=["occurred", "id"], name="event_by_time"),
            models.Index(fields=["event", "occurred"], name="event_by_name"),
            models.Index(fields=["resource_id", "occurred"], name="event_by_resource"),
            # Who follows events asks for these, whatever process stored them.
            models.Index(fields=["received", "id"], name="event_by_arrival"),
            # `events.automations.services.evaluation` asks for these, in this order.
            models.Index(fields=["received", "id"], name="event_to_judge", condition=models.Q(pending=True)),
        ]

    def __str__(self) -> str:
        return f"{self.event} of {self.resource_id}"


class RecordedStatus(models.Model):
    """The status of a queue, a pool or a deployment in the last event about it.

    A status is computed whenever it is read, so only this row shows whether it has changed.
    """

    resource_id = models.CharField(max_length=255, primary_key=True)
    status = models.CharField(max_length=16)

    class Meta:
        db_table = "events_toldstatus"
        verbose_name_plural = "recorded statuses"

    def __str__(self) -> str:
        return f"{self.resource_id}: {self.status}"
