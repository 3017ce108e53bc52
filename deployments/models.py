"""Deployments, the queues that carry their runs, and concurrency limits whose slots are rows owned by runs.

Beside them what flows share under a name: variables, limits on anything that they agree on, and blocks.
"""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from runs.models import NAME, Flow, Row, TaskRun

VARIABLE_NAME = RegexValidator(r"^[a-z0-9_]+$", "may hold lower-case letters, digits and underscores")
SLUG = RegexValidator(r"^[a-z0-9-]+$", "may hold lower-case letters, digits and dashes")


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


class GlobalLimit(Row):
    """How many slots of something may be taken at once, whoever takes them. Programs take and return them by name.

    Who holds a slot is not known here, so use is a number; with a decay it returns by itself, which makes a rate.
    """

    name = models.CharField(max_length=255, unique=True, validators=[NAME])
    limit = models.PositiveIntegerField()
    active = models.BooleanField(default=True)
    # What was taken and refused as of `counted_at`; fractions, because decay does not wait for whole slots.
    active_slots = models.FloatField(default=0)
    denied_slots = models.FloatField(default=0)
    counted_at = models.DateTimeField(default=timezone.now)
    slot_decay_per_second = models.FloatField(default=0)
    avg_slot_occupancy_seconds = models.FloatField(default=2)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name}: {self.limit}"


class Variable(Row):
    """A short text under a name, which flows read and people change."""

    name = models.CharField(max_length=255, unique=True, validators=[VARIABLE_NAME])
    value = models.TextField()
    tags = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class BlockType(Row):
    """A kind of configuration that a program defines: a storage, a credential, a message."""

    name = models.CharField(max_length=255, validators=[NAME])
    slug = models.CharField(max_length=255, unique=True, validators=[SLUG])
    logo_url = models.TextField(null=True, blank=True)
    documentation_url = models.TextField(null=True, blank=True)
    description = models.TextField(null=True, blank=True)
    code_example = models.TextField(null=True, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class BlockSchema(Row):
    """The fields of a block type as one version of a program has them, known by their checksum."""

    block_type = models.ForeignKey(BlockType, on_delete=models.CASCADE, related_name="schemas")
    checksum = models.CharField(max_length=255)
    fields = models.JSONField(default=dict)
    capabilities = models.JSONField(default=list)
    version = models.CharField(max_length=255, default="non-versioned")

    class Meta:
        ordering = ["-created"]
        constraints = [models.UniqueConstraint(fields=["checksum", "version"], name="one_schema_per_version")]

    def __str__(self) -> str:
        return f"{self.checksum} ({self.version})"


class BlockDocument(Row):
    """One filled-in block. `content` is what anybody may see; the whole with its secrets is sealed."""

    name = models.CharField(max_length=255, validators=[SLUG])
    block_type = models.ForeignKey(BlockType, on_delete=models.CASCADE, related_name="documents", db_index=False)
    block_schema = models.ForeignKey(BlockSchema, on_delete=models.CASCADE, related_name="documents")
    content = models.JSONField(default=dict)
    # Encrypted; null when there is nothing to hide, and then no key is needed to read the block.
    sealed = models.TextField(null=True, editable=False)
    is_anonymous = models.BooleanField(default=False)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["block_type", "name"], name="one_document_name_per_type")]

    def __str__(self) -> str:
        return self.name


class BlockReference(models.Model):
    """A field of one document that is filled with another document."""

    parent = models.ForeignKey(BlockDocument, on_delete=models.CASCADE, related_name="references", db_index=False)
    name = models.CharField(max_length=255)
    document = models.ForeignKey(BlockDocument, on_delete=models.CASCADE, related_name="referenced_by")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["parent", "name"], name="one_reference_per_field")]

    def __str__(self) -> str:
        return f"{self.parent_id}.{self.name}"
