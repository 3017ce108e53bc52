"""Work pools and their queues, where runs wait to be executed."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models

from orionflow.contract.kinds import AGENT_POOL, FAIR_SHARE_PATTERN
from runs.models import NAME, Row


class WorkPool(Row):
    """Where runs are executed: one kind of infrastructure, with queues of waiting runs."""

    # The pool for queues that name no other.
    DEFAULT_NAME = "default-agent-pool"

    name = models.CharField(max_length=255, unique=True, validators=[NAME])
    description = models.TextField(null=True)
    type = models.CharField(max_length=255, default=AGENT_POOL)
    base_job_template = models.JSONField(default=dict, blank=True)
    is_paused = models.BooleanField(default=False)
    concurrency_limit = models.PositiveIntegerField(null=True)
    fair_share = models.CharField(
        max_length=255,
        null=True,
        blank=True,
        validators=[RegexValidator(FAIR_SHARE_PATTERN, "Write deployment, author, or tag:… such as tag:team.")],
        help_text="How runs of equal priority take turns: deployment, author or tag:… Empty: no turns.",
    )
    default_queue_id = models.UUIDField(null=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class WorkQueue(Row):
    """Runs that wait for an agent; 1 is the highest priority."""

    name = models.CharField(max_length=255, validators=[NAME])
    description = models.TextField(default="", blank=True)
    is_paused = models.BooleanField(default=False)
    concurrency_limit = models.PositiveIntegerField(null=True)
    priority = models.PositiveIntegerField(default=1)
    work_pool = models.ForeignKey(WorkPool, on_delete=models.CASCADE, null=True, related_name="queues", db_index=False)
    # Older clients select the runs of a queue by tags instead of by its name.
    filter = models.JSONField(null=True)
    last_polled = models.DateTimeField(null=True)
    # The users whose keys agents and workers of other clients have used to poll.
    polled_by = models.JSONField(default=list, editable=False)

    class Meta:
        ordering = ["priority", "name"]
        constraints = [models.UniqueConstraint(fields=["work_pool", "name"], name="one_queue_name_per_pool")]

    def __str__(self) -> str:
        return self.name


class FormerQueue(models.Model):
    """A queue that was deleted while it was used.

    When a queue with its name is created again, it gets the same id, and with it the runs and deployments that still
    wait.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    pool_name = models.CharField(max_length=255)
    name = models.CharField(max_length=255)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["pool_name", "name"], name="one_former_queue_per_name")]

    def __str__(self) -> str:
        return f"{self.pool_name}/{self.name}"
