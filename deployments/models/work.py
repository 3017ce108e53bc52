"""Where runs wait and who takes them: pools, their queues, the agents that serve them, and the leases of attempts."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from runs.models import NAME, FlowRun, Row


class WorkPool(Row):
    """Where runs are executed: a kind of infrastructure with queues before it."""

    #: The pool of queues that are said to belong to no other.
    DEFAULT_NAME = "default-agent-pool"

    name = models.CharField(max_length=255, unique=True, validators=[NAME])
    description = models.TextField(null=True)
    type = models.CharField(max_length=255, default="prefect-agent")
    base_job_template = models.JSONField(default=dict)
    is_paused = models.BooleanField(default=False)
    concurrency_limit = models.PositiveIntegerField(null=True)
    default_queue_id = models.UUIDField(null=True)

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
    # Older clients choose the runs of a queue by tags instead of by its name.
    filter = models.JSONField(null=True)
    last_polled = models.DateTimeField(null=True)

    class Meta:
        ordering = ["priority", "name"]
        constraints = [models.UniqueConstraint(fields=["work_pool", "name"], name="one_queue_name_per_pool")]

    def __str__(self) -> str:
        return self.name


class FormerQueue(models.Model):
    """A queue that was deleted while somebody used it. Made again under its name it gets its id again, and with that
    the runs and deployments that still wait for it."""

    id = models.UUIDField(primary_key=True, editable=False)
    pool_name = models.CharField(max_length=255)
    name = models.CharField(max_length=255)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pool_name", "name"], name="one_former_queue_per_name")]

    def __str__(self) -> str:
        return f"{self.pool_name}/{self.name}"


class Worker(Row):
    """A process that takes runs from the queues of a pool: an agent of ours, or a worker of another make."""

    name = models.CharField(max_length=255, validators=[NAME])
    work_pool = models.ForeignKey(WorkPool, on_delete=models.CASCADE, related_name="workers", db_index=False)
    last_heartbeat = models.DateTimeField(null=True)
    heartbeat_interval_seconds = models.PositiveIntegerField(null=True)
    offline_at = models.DateTimeField(null=True, help_text="Without another heartbeat it counts as gone from then on.")
    # One start of the process: what an earlier one held is taken back when a new one registers. Null: not an agent.
    incarnation = models.UUIDField(null=True)
    queue_ids = models.JSONField(default=list)
    serves_pool = models.BooleanField(default=False, help_text="All queues of the pool, also those made later.")
    concurrency = models.PositiveIntegerField(null=True)
    host = models.CharField(max_length=255, null=True)
    pid = models.PositiveIntegerField(null=True)
    version = models.CharField(max_length=255, null=True)
    draining = models.BooleanField(default=False)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["work_pool", "name"], name="one_worker_name_per_pool")]

    def __str__(self) -> str:
        return self.name


class Lease(models.Model):
    """An agent's right to execute one attempt of a flow run, until `expires_at` of the database's clock.

    The table is narrow, and apart from the runs, because each heartbeat rewrites its rows.
    """

    flow_run = models.OneToOneField(FlowRun, on_delete=models.CASCADE, primary_key=True, related_name="lease")
    worker = models.ForeignKey(Worker, on_delete=models.SET_NULL, null=True, related_name="leases")
    incarnation = models.UUIDField(null=True)
    epoch = models.PositiveIntegerField()
    granted_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="lease_by_end")]

    def __str__(self) -> str:
        return f"{self.flow_run_id}, attempt {self.epoch}"
