"""Workers and agents, which execute runs, and the leases on runs that agents hold."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from deployments.work.models import WorkPool
from runs.models import NAME, FlowRun, Row


class Worker(Row):
    """A process that takes runs from the queues of a pool: an agent of Orion, or a worker of another client."""

    name = models.CharField(max_length=255, validators=[NAME])
    work_pool = models.ForeignKey(WorkPool, on_delete=models.CASCADE, related_name="workers", db_index=False)
    last_heartbeat = models.DateTimeField(null=True)
    heartbeat_interval_seconds = models.PositiveIntegerField(null=True)
    offline_at = models.DateTimeField(
        null=True, help_text="Without another heartbeat, the agent counts as offline from then on."
    )
    # Identifies one start of the process. When a new one registers, runs of the earlier one are revoked. Null: not an
    # agent.
    incarnation = models.UUIDField(null=True)
    queue_ids = models.JSONField(default=list)
    serves_pool = models.BooleanField(
        default=False, help_text="Whether it serves all queues of the pool, including later ones."
    )
    concurrency = models.PositiveIntegerField(null=True)
    host = models.CharField(max_length=255, null=True)
    pid = models.PositiveIntegerField(null=True)
    version = models.CharField(max_length=255, null=True)
    draining = models.BooleanField(default=False)
    account = models.IntegerField(
        null=True, help_text="The user whose key the agent registered with. 0: the owner of the server's machine."
    )

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["work_pool", "name"], name="one_worker_name_per_pool")]

    def __str__(self) -> str:
        return self.name


class Lease(models.Model):
    """An agent's right to execute one attempt of a flow run, until `expires_at` by the database's clock.

    The table is narrow and separate from the runs, because each heartbeat updates its rows.
    """

    flow_run = models.OneToOneField(FlowRun, on_delete=models.CASCADE, primary_key=True, related_name="lease")
    worker = models.ForeignKey(Worker, on_delete=models.SET_NULL, null=True, related_name="leases")
    incarnation = models.UUIDField(null=True)
    epoch = models.PositiveIntegerField()
    granted_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        # The reconciler: which leases have expired?
        indexes = [models.Index(fields=["expires_at"], name="lease_by_end")]

    def __str__(self) -> str:
        return f"{self.flow_run_id}, attempt {self.epoch}"
