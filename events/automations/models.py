"""Automations: what is done when events say so, and what each of them remembers meanwhile."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from runs.models import Row


class Automation(Row):
    """A trigger with the actions that follow when it fires."""

    name = models.TextField()
    description = models.TextField(default="", blank=True)
    enabled = models.BooleanField(default=True)
    trigger = models.JSONField()
    actions = models.JSONField(default=list, blank=True)
    actions_on_trigger = models.JSONField(default=list, blank=True)
    actions_on_resolve = models.JSONField(default=list, blank=True)
    # Labels of what it was made for: it goes with its owner, and is listed beside what it is related to.
    owner_resource = models.CharField(max_length=1024, null=True, blank=True)
    # The user who made or changed it last, with whose rights it acts; null: the owner of the server.
    author = models.IntegerField(null=True, editable=False)
    # Events from before this moment are none of its business.
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name", "id"]
        indexes = [
            # Whether there is any is asked whenever a flow run changes its state.
            models.Index(fields=["id"], name="automation_enabled", condition=models.Q(enabled=True)),
            models.Index(fields=["owner_resource"], name="automation_by_owner"),
        ]

    def __str__(self) -> str:
        return self.name


class TriggerState(models.Model):
    """The count of a trigger of an automation, for one of the things that it counts apart."""

    automation = models.ForeignKey(Automation, on_delete=models.CASCADE, related_name="trigger_states", db_index=False)
    trigger = models.CharField(max_length=255)
    # What is counted apart (`for_each`), as the JSON of its values.
    bucket = models.CharField(max_length=1024)
    count = models.PositiveIntegerField(default=0)
    begun_at = models.DateTimeField()
    # A proactive trigger fires when this passes; null when it waits for no moment.
    ends_at = models.DateTimeField(null=True)
    # The last event that was counted; for a trigger made of others, which of them fired, and when.
    memory = models.JSONField(default=dict)

    class Meta:
        db_table = "events_tally"
        constraints = [
            models.UniqueConstraint(fields=["automation", "trigger", "bucket"], name="one_tally_per_bucket"),
        ]
        indexes = [models.Index(fields=["ends_at"], name="tally_ending")]

    def __str__(self) -> str:
        return f"{self.trigger} of {self.automation_id}: {self.count}"


class ActionRun(models.Model):
    """An action that an automation has to run because it fired, and how that went."""

    id = models.UUIDField(primary_key=True, editable=False)
    automation = models.ForeignKey(Automation, on_delete=models.CASCADE, related_name="action_runs", db_index=False)
    created = models.DateTimeField(default=timezone.now)
    action = models.JSONField()
    event = models.JSONField(null=True)
    done_at = models.DateTimeField(null=True)
    error = models.TextField(default="", blank=True)

    class Meta:
        db_table = "events_firing"
        ordering = ["-created", "-id"]
        indexes = [
            models.Index(fields=["created"], name="firing_to_do", condition=models.Q(done_at=None)),
            # What an automation did, newest first.
            models.Index(fields=["automation", "created"], name="firing_of_automation"),
            # What failed lately: few of them do.
            models.Index(fields=["created"], name="firing_failed", condition=~models.Q(error="")),
            # What is forgotten.
            models.Index(fields=["done_at"], name="firing_done"),
        ]

    def __str__(self) -> str:
        return f"{self.action.get('type')} of {self.automation_id}"
