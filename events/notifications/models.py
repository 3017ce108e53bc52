"""Notification policies, which select states of flow runs and a block, and the outbox of their messages."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from runs.models import Row


class NotificationPolicy(Row):
    """Sends a message through a block when a flow run enters one of these states. Empty lists match everything."""

    name = models.CharField(max_length=255, null=True, blank=True)
    is_active = models.BooleanField(default=True)
    # Types and names are alternatives: a run that is TimedOut has the type FAILED.
    state_types = models.JSONField(default=list, blank=True)
    state_names = models.JSONField(default=list, blank=True)
    tags = models.JSONField(default=list, blank=True)
    flow_names = models.JSONField(default=list, blank=True)
    deployment_ids = models.JSONField(default=list, blank=True)
    block_document = models.ForeignKey("deployments.BlockDocument", on_delete=models.CASCADE, related_name="+")
    message_template = models.TextField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "notification policies"
        ordering = ["id"]
        indexes = [
            # For the question whether there is any, at each new state of a flow run.
            models.Index(fields=["id"], name="policy_active", condition=models.Q(is_active=True)),
        ]

    def __str__(self) -> str:
        states = ", ".join([*self.state_types, *self.state_names])
        return self.name or f"{states or 'any state'} of {', '.join(self.tags) or 'any run'}"


class Notification(models.Model):
    """A message in the outbox: stored together with its cause, and sent later, at least once, under its id."""

    class Standing(models.TextChoices):
        WAITING = "WAITING"
        SENT = "SENT"
        GIVEN_UP = "GIVEN_UP"

    id = models.UUIDField(primary_key=True, editable=False)
    created = models.DateTimeField(default=timezone.now)
    block_document = models.ForeignKey(
        "deployments.BlockDocument", on_delete=models.CASCADE, related_name="+", db_index=False
    )
    policy = models.ForeignKey(NotificationPolicy, null=True, on_delete=models.CASCADE, related_name="+")
    # No foreign keys, because the log of messages outlives runs and automations.
    automation_id = models.UUIDField(null=True)
    flow_run_id = models.UUIDField(null=True)
    subject = models.TextField()
    body = models.TextField()
    # Whether the body is the whole content of the request. Otherwise, the block puts it into its own format.
    is_payload = models.BooleanField(default=False)
    standing = models.CharField(max_length=16, choices=Standing.choices, default=Standing.WAITING)
    due_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    # The time and the result of each attempt.
    tries = models.JSONField(default=list, blank=True)
    # Whether the receiver rejected the message as too long or malformed, so that only its short form is sent.
    is_short = models.BooleanField(default=False)
    last_error = models.TextField(default="", blank=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created", "-id"]
        indexes = [
            # For the sender: due messages, oldest first.
            models.Index(fields=["due_at"], name="notification_due", condition=models.Q(standing="WAITING")),
            # For the next message of a destination, with the fewest attempts first.
            models.Index(
                fields=["block_document", "attempts", "created"],
                name="notification_next",
                condition=models.Q(standing="WAITING"),
            ),
            # For the log, newest first, of all destinations and of one.
            models.Index(fields=["created"], name="notification_by_age"),
            models.Index(fields=["block_document", "created"], name="notification_of_block"),
            # For recent messages that were not delivered.
            models.Index(fields=["created"], name="notification_given_up", condition=models.Q(standing="GIVEN_UP")),
        ]

    def __str__(self) -> str:
        return f"{self.subject} ({self.standing})"
