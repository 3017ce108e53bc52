"""Policies: which states of flow runs are notified of, through which block; and the outbox of their messages."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from runs.models import Row


class NotificationPolicy(Row):
    """Whenever a flow run enters one of these states, send a message through a block. Empty lists stand for any."""

    name = models.CharField(max_length=255, null=True, blank=True)
    is_active = models.BooleanField(default=True)
    # Types and names are alternatives: a run that is TimedOut is of the type FAILED.
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
            # Whether there is any is asked whenever a flow run changes its state.
            models.Index(fields=["id"], name="policy_active", condition=models.Q(is_active=True)),
        ]

    def __str__(self) -> str:
        states = ", ".join([*self.state_types, *self.state_names])
        return self.name or f"{states or 'any state'} of {', '.join(self.tags) or 'any run'}"


class Notification(models.Model):
    """A message of the outbox: written with what it is about, sent later, at least once, under its id."""

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
    # No foreign keys: the log of what was sent outlives a run, and an automation.
    automation_id = models.UUIDField(null=True)
    flow_run_id = models.UUIDField(null=True)
    subject = models.TextField()
    body = models.TextField()
    # Whether the body is the whole content of the request; else it is a message that the block puts into its own form.
    is_payload = models.BooleanField(default=False)
    standing = models.CharField(max_length=16, choices=Standing.choices, default=Standing.WAITING)
    due_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    # When each attempt was made, and how it went.
    tries = models.JSONField(default=list, blank=True)
    # Whether its receiver found it too long or too strange, so that only its short form is sent.
    is_short = models.BooleanField(default=False)
    last_error = models.TextField(default="", blank=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created", "-id"]
        indexes = [
            # The sender's question: what is due, the oldest first.
            models.Index(fields=["due_at"], name="notification_due", condition=models.Q(standing="WAITING")),
            # The next message of a destination: those that were tried least often first.
            models.Index(
                fields=["block_document", "attempts", "created"],
                name="notification_next",
                condition=models.Q(standing="WAITING"),
            ),
            # The log, newest first, and that of one destination.
            models.Index(fields=["created"], name="notification_by_age"),
            models.Index(fields=["block_document", "created"], name="notification_of_block"),
            # What was not delivered lately.
            models.Index(fields=["created"], name="notification_given_up", condition=models.Q(standing="GIVEN_UP")),
        ]

    def __str__(self) -> str:
        return f"{self.subject} ({self.standing})"
