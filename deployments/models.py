"""Deployments, the queues that carry their runs, and concurrency limits whose slots are rows owned by runs."""

from __future__ import annotations

from django.db import models

from runs.models import NAME, Flow, Row, TaskRun


class WorkPool(Row):
    """Where runs are executed: a kind of infrastructure with queues before it."""

    name = models.CharField(max_length=255, unique=True, validators=[NAME])
    description = models.TextField(null=True)
    type = models.CharField(max_length=255, default="prefect-agent")
    base_job_template = models.JSONField(default=dict)
    is_paused = models.BooleanField(default=False)
    concurrency_limit = models.PositiveIntegerField(null=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class WorkQueue(Row):
    """A line of runs that wait for an agent; 1 is the highest priority."""

    name = models.CharField(max_length=255, validators=[NAME])
    description = models.TextField(default="", blank=True)
    is_paused = models.BooleanField(default=False)
    concurrency_limit = models.PositiveIntegerField(null=True)
    priority = models.PositiveIntegerField(default=1)
    work_pool = models.ForeignKey(WorkPool, on_delete=models.CASCADE, null=True, related_name="queues", db_index=False)
    last_polled = models.DateTimeField(null=True)

    class Meta:
        ordering = ["priority", "name"]
        constraints = [models.UniqueConstraint(fields=["work_pool", "name"], name="one_queue_name_per_pool")]

    def __str__(self) -> str:
        return self.name


class Deployment(Row):
    """A flow that was handed to Orion: where its code is, with which parameters and where it runs."""

    name = models.CharField(max_length=255, validators=[NAME])
    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="deployments", db_index=False)
    version = models.CharField(max_length=255, null=True)
    description = models.TextField(null=True)
    paused = models.BooleanField(default=False)
    tags = models.JSONField(default=list, blank=True)
    parameters = models.JSONField(default=dict, blank=True)
    parameter_openapi_schema = models.JSONField(null=True)
    enforce_parameter_schema = models.BooleanField(default=False)
    job_variables = models.JSONField(default=dict, blank=True)
    pull_steps = models.JSONField(null=True)
    path = models.CharField(max_length=4096, null=True)
    entrypoint = models.CharField(max_length=4096, null=True)
    manifest_path = models.CharField(max_length=4096, null=True)
    storage_document_id = models.UUIDField(null=True)
    infrastructure_document_id = models.UUIDField(null=True)
    work_queue = models.ForeignKey(WorkQueue, on_delete=models.SET_NULL, null=True, related_name="deployments")
    work_queue_name = models.CharField(max_length=255, null=True)
    overlap = models.CharField(max_length=10, default="allow")
    last_polled = models.DateTimeField(null=True)
    status = models.CharField(max_length=9, default="NOT_READY")
    created_by = models.JSONField(null=True)
    updated_by = models.JSONField(null=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["flow", "name"], name="one_deployment_name_per_flow")]

    def __str__(self) -> str:
        return self.name


class ConcurrencyLimit(Row):
    """How many task runs with this tag may be RUNNING at once."""

    tag = models.CharField(max_length=255, unique=True)
    concurrency_limit = models.PositiveIntegerField()

    class Meta:
        ordering = ["tag"]

    def __str__(self) -> str:
        return f"{self.tag}: {self.concurrency_limit}"


class Slot(models.Model):
    """One place under a limit, held by one task run. Use is counted from these rows, so it cannot drift."""

    limit = models.ForeignKey(ConcurrencyLimit, on_delete=models.CASCADE, related_name="slots", db_index=False)
    task_run = models.ForeignKey(TaskRun, on_delete=models.CASCADE, related_name="slots")
    taken_at = models.DateTimeField()
    epoch = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["limit", "task_run"], name="one_slot_per_run_and_limit")]

    def __str__(self) -> str:
        return f"{self.limit_id} held by {self.task_run_id}"
