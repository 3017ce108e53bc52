"""Automations with their triggers and actions, and the state of their triggers."""

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
    # The id of the resource for which it was created, by which clients list and delete it.
    owner_resource = models.CharField(max_length=1024, null=True, blank=True)
    # The user who created or last changed it, and whose rights it has. Null: the owner of the server.
    author = models.IntegerField(null=True, editable=False)
    # Events from before this moment are ignored.
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name", "id"]
        indexes = [
            # For the question whether there is any, at each new state of a flow run.
            models.Index(fields=["id"], name="automation_enabled", condition=models.Q(enabled=True)),
            models.Index(fields=["owner_resource"], name="automation_by_owner"),
        ]

    def __str__(self) -> str:
        return self.name


class TriggerState(models.Model):
    """The count of a trigger of an automation in one bucket."""

    automation = models.ForeignKey(Automation, on_delete=models.CASCADE, related_name="trigger_states", db_index=False)
    trigger = models.CharField(max_length=255)
    # The values of `for_each`, by which events are counted separately, as JSON.
    bucket = models.CharField(max_length=1024)
    count = models.PositiveIntegerField(default=0)
    begun_at = models.DateTimeField()
    # When this passes, a proactive trigger fires. Null: there is no time limit.
    ends_at = models.DateTimeField(null=True)
    # The last counted event; for a composite trigger, which of its triggers fired and when.
    memory = models.JSONField(default=dict)

    class Meta:
        db_table = "events_tally"
        constraints = [
            models.UniqueConstraint(fields=["automation", "trigger", "bucket"], name="one_tally_per_bucket"),
        ]
        # For the evaluation of triggers whose time is over.
        indexes = [models.Index(fields=["ends_at"], name="tally_ending")]

    def __str__(self) -> str:
        return f"{self.trigger} of {self.automation_id}: {self.count}"


class ActionRun(models.Model):
    """An action of an automation that fired, and its result."""

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
            # For the actions that have to be run, in order.
            models.Index(fields=["created"], name="firing_to_do", condition=models.Q(done_at=None)),
            # For the actions of an automation, newest first.
            models.Index(fields=["automation", "created"], name="firing_of_automation"),
            # For recent failures, which are few.
            models.Index(fields=["created"], name="firing_failed", condition=~models.Q(error="")),
            # For the deletion of old rows.
            models.Index(fields=["done_at"], name="firing_done"),
        ]

    def __str__(self) -> str:
        return f"{self.action.get('type')} of {self.automation_id}"
