"""Every state that a run was in, and the cached results by cache key."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from orionflow.contract.ids import uuid7
from runs.models.runs import STATE_TYPES, FlowRun, TaskRun


class StateRow(models.Model):
    """One state of one run, with the trail of rules that led to it. Rows are written once and never changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    seq = models.PositiveIntegerField()
    type = models.CharField(max_length=10, choices=STATE_TYPES)
    name = models.CharField(max_length=255)
    timestamp = models.DateTimeField()
    message = models.TextField(null=True)
    data = models.JSONField(null=True)
    details = models.JSONField(default=dict, help_text="The fields of state_details that differ from their defaults.")
    trail = models.JSONField(default=list, help_text="What each rule said, in order: [[rule, verdict, reason], …].")
    # The verdict that the client received; a repetition of the same proposal receives it again.
    verdict = models.CharField(max_length=6, default="ACCEPT")
    # If a proposal is rejected, the state that is written instead has another id.
    proposal_id = models.UUIDField(null=True)
    client_timestamp = models.DateTimeField(
        null=True, help_text="The time on the client's clock, if it differs from the server's."
    )
    epoch = models.PositiveIntegerField(default=0)
    author = models.CharField(max_length=255, null=True, help_text="Who set the state. Empty: the run's own client.")

    class Meta:
        abstract = True
        ordering = ["seq"]

    def __str__(self) -> str:
        return f"{self.name} (#{self.seq})"


class FlowRunState(StateRow):
    """One state of a flow run."""

    flow_run = models.ForeignKey(FlowRun, on_delete=models.CASCADE, related_name="states", db_index=False)

    class Meta(StateRow.Meta):
        constraints = [
            models.UniqueConstraint(fields=["flow_run", "seq"], name="flow_run_history_is_total"),
            models.CheckConstraint(condition=Q(seq__gt=0), name="flow_run_state_seq_positive"),
            models.UniqueConstraint(
                fields=["proposal_id"], name="flow_run_proposal_once", condition=Q(proposal_id__isnull=False)
            ),
        ]


class TaskRunState(StateRow):
    """One state of a task run."""

    task_run = models.ForeignKey(TaskRun, on_delete=models.CASCADE, related_name="states", db_index=False)

    class Meta(StateRow.Meta):
        constraints = [
            models.UniqueConstraint(fields=["task_run", "seq"], name="task_run_history_is_total"),
            models.CheckConstraint(condition=Q(seq__gt=0), name="task_run_state_seq_positive"),
            models.UniqueConstraint(
                fields=["proposal_id"], name="task_run_proposal_once", condition=Q(proposal_id__isnull=False)
            ),
        ]


class CacheEntry(models.Model):
    """The newest finished state with this cache key; task runs with this key may reuse its result until it expires."""

    # Long keys are stored as their hash, because an index of PostgreSQL allows at most 2,700 bytes.
    cache_key = models.CharField(max_length=255)
    expires_at = models.DateTimeField(null=True)
    task_run_state = models.ForeignKey(TaskRunState, on_delete=models.CASCADE, related_name="cache_entries")
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        # One row per key: the table grows with the number of keys, not of runs.
        constraints = [models.UniqueConstraint(fields=["cache_key"], name="one_cache_entry_per_key")]
        # Retention: what has expired?
        indexes = [
            models.Index(fields=["expires_at"], name="cache_entry_by_end", condition=Q(expires_at__isnull=False)),
        ]
        verbose_name_plural = "cache entries"

    def __str__(self) -> str:
        return self.cache_key
