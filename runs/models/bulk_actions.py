"""Actions on many flow runs at once: the runs that they concern, and the outcome of each."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from runs.models.rows import Row


class BulkAction(Row):
    """A command for the flow runs that a filter found when it was given. A service carries it out, a few at a time."""

    class Kind(models.TextChoices):
        RETRY = "retry"
        CANCEL = "cancel"
        DELETE = "delete"

    class Status(models.TextChoices):
        ACTIVE = "active"
        STOPPED = "stopped"
        DONE = "done"

    action = models.CharField(max_length=6, choices=Kind)
    status = models.CharField(max_length=7, choices=Status, default=Status.ACTIVE)
    author = models.CharField(max_length=255)
    # The user whose permissions apply; null for the owner of the server.
    user = models.IntegerField(null=True, editable=False)
    problem = models.TextField(default="", blank=True, help_text="Why it stopped, unless a user stopped it.")
    entrance = models.CharField(max_length=10, help_text="Where the command was given: page or api.")
    filter = models.JSONField(help_text="The filter of the API, or the query of the list of runs.")
    from_tasks = models.JSONField(default=list, help_text="For a retry, the tasks to start from. Empty: the whole run.")
    is_cut = models.BooleanField(default=False, help_text="The filter matched more runs than the action takes.")
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    reasons = models.JSONField(default=dict, help_text="How many runs were refused or failed, for each reason.")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created", "-id"]
        indexes = [
            # The list, newest first.
            models.Index(fields=["-created", "-id"], name="bulk_action_by_time"),
            # The service reads only these.
            models.Index(fields=["created"], name="bulk_action_active", condition=Q(status="active")),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.total} runs"

    @property
    def tried(self) -> int:
        return self.done + self.refused + self.failed

    @property
    def left(self) -> int:
        """The number of runs that were not tried."""
        return self.total - self.tried


class BulkRun(models.Model):
    """A flow run of a bulk action. No foreign key, because the run may be deleted, also by the action itself."""

    class Outcome(models.TextChoices):
        LEFT = "left"
        DONE = "done"
        REFUSED = "refused"
        FAILED = "failed"

    bulk_action = models.ForeignKey(BulkAction, on_delete=models.CASCADE, related_name="runs", db_index=False)
    number = models.PositiveIntegerField(help_text="The position in the order in which runs are tried.")
    run_id = models.UUIDField()
    name = models.CharField(max_length=1024, blank=True)
    outcome = models.CharField(max_length=7, choices=Outcome, default=Outcome.LEFT)
    reason = models.TextField(default="", blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["bulk_action", "number"], name="one_bulk_run_per_number")]
        # The remaining runs in order, and the runs with one outcome.
        indexes = [models.Index(fields=["bulk_action", "outcome", "number"], name="bulk_run_by_outcome")]

    def __str__(self) -> str:
        return self.name or str(self.run_id)
