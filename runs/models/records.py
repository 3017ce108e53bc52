"""Records other than states of runs: log lines, artifacts, inputs, saved searches and the default views of lists."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from orionflow.contract.ids import uuid7
from runs.models.rows import Row
from runs.models.runs import FlowRun


class Log(models.Model):
    """One line that a run wrote."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created = models.DateTimeField(default=timezone.now, editable=False)
    name = models.CharField(max_length=255)
    level = models.SmallIntegerField()
    message = models.TextField()
    timestamp = models.DateTimeField()
    # No foreign keys: a line may arrive before its run, and retention deletes logs after a period of their own.
    flow_run_id = models.UUIDField(null=True)
    task_run_id = models.UUIDField(null=True)

    class Meta:
        ordering = ["timestamp", "id"]
        indexes = [
            # A run's log, in order, by keyset.
            models.Index(fields=["flow_run_id", "timestamp", "id"], name="log_by_flow_run"),
            models.Index(
                fields=["task_run_id", "timestamp"], name="log_by_task_run", condition=Q(task_run_id__isnull=False)
            ),
            # The warnings and errors of a run, without reading the rest of a long log.
            models.Index(
                fields=["flow_run_id", "timestamp", "id"], name="log_warnings_by_flow_run", condition=Q(level__gte=30)
            ),
            models.Index(
                fields=["task_run_id", "timestamp", "id"],
                name="log_warnings_by_task_run",
                condition=Q(level__gte=30, task_run_id__isnull=False),
            ),
            # Retention, and logs of all runs by time.
            models.Index(fields=["timestamp"], name="log_by_time"),
        ]

    def __str__(self) -> str:
        return self.message[:80]


class Artifact(Row):
    """Content that a run shows to users: markdown, a table, a link, a reference to a result."""

    key = models.CharField(max_length=255, null=True)
    type = models.CharField(max_length=255, null=True)
    description = models.TextField(null=True)
    data = models.JSONField(null=True)
    metadata = models.JSONField(null=True)
    flow_run_id = models.UUIDField(null=True)
    task_run_id = models.UUIDField(null=True)

    class Meta:
        ordering = ["-created"]
        indexes = [
            # The versions of an artifact, the newest first.
            models.Index(fields=["key", "-created"], name="artifact_by_key", condition=Q(key__isnull=False)),
            # The artifacts of a run: its page, its graph, and retention.
            models.Index(fields=["flow_run_id"], name="artifact_by_flow_run"),
            models.Index(fields=["task_run_id"], name="artifact_by_task_run", condition=Q(task_run_id__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.key or str(self.id)


class ArtifactCollection(Row):
    """The newest artifact of each key."""

    key = models.CharField(max_length=255, unique=True)
    latest_id = models.UUIDField()

    class Meta:
        ordering = ["key"]

    def __str__(self) -> str:
        return self.key


class FlowRunInput(Row):
    """A value sent to a flow run from outside, such as the answer that resumes a pause."""

    flow_run = models.ForeignKey(FlowRun, on_delete=models.CASCADE, related_name="inputs", db_index=False)
    key = models.CharField(max_length=255)
    value = models.TextField()
    sender = models.CharField(max_length=1024, null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flow_run", "key"], name="one_input_per_key")]

    def __str__(self) -> str:
        return self.key


class SavedSearch(Row):
    """A named set of filters of the dashboard, for everyone or for the user who saved it."""

    name = models.CharField(max_length=255)
    filters = models.JSONField(default=list, blank=True)
    # Null if it was saved before this column was there: then everyone who may change runs may change it.
    created_by = models.JSONField(null=True, editable=False)
    private_to = models.IntegerField(
        null=True,
        blank=True,
        help_text="The id of the only user who sees it; 0 for the owner of the server. Empty: everyone sees it.",
    )

    class Meta:
        verbose_name_plural = "saved searches"
        constraints = [
            # Which search has this name? Users give their own ones any names.
            models.UniqueConstraint(
                fields=["name"], condition=Q(private_to__isnull=True), name="one_shared_search_per_name"
            ),
            models.UniqueConstraint(fields=["private_to", "name"], name="one_private_search_per_name"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def visibility(self) -> str:
        return "team" if self.private_to is None else "me"


class DefaultView(models.Model):
    """The view with which a list opens for one user. Those of the owner of the server are stored in browsers."""

    user = models.IntegerField()
    list_name = models.CharField(max_length=40)
    # The id of a saved search, or the name of a built-in view.
    key = models.CharField(max_length=40)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "list_name"], name="one_default_view_per_list")]

    def __str__(self) -> str:
        return f"{self.list_name}: {self.key}"
