"""What Orion remembers of work: flows, their runs, every state of every run, and what runs leave behind.

Runs copy their current state's type, name and time so that lists filter without a join. Nothing but
`orchestration.services` writes these columns.
"""

from __future__ import annotations

from datetime import timedelta

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from orchestration.core.states import StateType
from runs.ids import uuid7
from runs.querysets import ArtifactQuerySet, FlowQuerySet, FlowRunQuerySet, LogQuerySet, TaskRunQuerySet

STATE_TYPES = [(state_type.value, state_type.value.title()) for state_type in StateType]
UNFINISHED_TYPES = ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"]
# In these states a run holds a place in its queue, its pool and its deployment; order and spelling as in the indexes.
HOLDING_TYPES = ["PENDING", "RUNNING", "CANCELLING"]
NAME = RegexValidator(r"^[^/%&><\x00-\x1f]+$", "must not contain / % & > < or control characters")


class Row(models.Model):
    """The columns that every resource of the API has."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created = models.DateTimeField(default=timezone.now, editable=False)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class Flow(Row):
    """A function that a user decorated, known by its name."""

    name = models.CharField(max_length=255, unique=True, validators=[NAME])
    tags = models.JSONField(default=list, blank=True)

    objects = FlowQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Run(Row):
    """What flow runs and task runs have in common: their current state and the bookkeeping of time and tries."""

    name = models.CharField(max_length=1024, blank=True)
    tags = models.JSONField(default=list, blank=True)
    empirical_policy = models.JSONField(default=dict, blank=True)

    seq = models.PositiveIntegerField(
        default=0, help_text="Number of states so far; the current state has this number."
    )
    state_id = models.UUIDField(null=True, editable=False)
    state_type = models.CharField(max_length=10, choices=STATE_TYPES, null=True)
    state_name = models.CharField(max_length=255, null=True)
    state_timestamp = models.DateTimeField(null=True)

    run_count = models.PositiveIntegerField(default=0)
    expected_start_time = models.DateTimeField(null=True)
    next_scheduled_start_time = models.DateTimeField(null=True)
    start_time = models.DateTimeField(null=True)
    end_time = models.DateTimeField(null=True)
    total_run_time = models.DurationField(default=timedelta)
    # {at, verdict, proposed, reason, seconds, trail} of the last proposal that wrote no state; null after one that did.
    refusal = models.JSONField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name or str(self.id)


class FlowRun(Run):
    """One call of a flow."""

    # The foreign keys below have no index of their own where another index begins with the same column.
    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="runs", db_index=False)
    # The parent task run is deleted with the parent flow run; the child is a run of its own and stays.
    parent_task_run = models.ForeignKey(
        "TaskRun",
        on_delete=models.SET_NULL,
        null=True,
        related_name="child_flow_runs",
        db_constraint=False,
        db_index=False,
    )
    deployment_id = models.UUIDField(null=True)
    deployment_version = models.CharField(max_length=255, null=True)
    work_queue_id = models.UUIDField(null=True)
    work_queue_name = models.CharField(max_length=255, null=True)
    flow_version = models.CharField(max_length=255, null=True)
    parameters = models.JSONField(default=dict, blank=True)
    context = models.JSONField(default=dict, blank=True)
    job_variables = models.JSONField(default=dict, blank=True)
    idempotency_key = models.CharField(max_length=1024, null=True)
    infrastructure_document_id = models.UUIDField(null=True)
    infrastructure_pid = models.CharField(max_length=1024, null=True)
    # Of a run that no agent started: the process that it is executed in, if it said so.
    process = models.CharField(max_length=1024, null=True)
    auto_scheduled = models.BooleanField(default=False)
    created_by = models.JSONField(null=True)
    epoch = models.PositiveIntegerField(default=0, help_text="Fencing token: which attempt may write.")
    # Deployed runs: the schedule that planned it, when agents were last told of it, and how many attempts were lost
    # between the claim and the first report.
    schedule_id = models.UUIDField(null=True)
    hinted_at = models.DateTimeField(null=True)
    lost_starts = models.PositiveSmallIntegerField(default=0)

    objects = FlowRunQuerySet.as_manager()

    class Meta:
        ordering = ["-expected_start_time", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["flow", "idempotency_key"], name="one_run_per_idempotency_key"),
            models.CheckConstraint(
                condition=Q(state_type__isnull=True) | Q(state_type__in=[t.value for t in StateType]),
                name="flow_run_state_type_known",
            ),
        ]
        indexes = [
            # The runs page and EXPECTED_START_TIME_DESC, by keyset.
            models.Index(fields=["-expected_start_time", "-id"], name="flow_run_by_expected_start"),
            # The runs page with a state filter.
            models.Index(fields=["state_type", "-expected_start_time"], name="flow_run_by_state"),
            # A flow's page, and overlap: which runs of this flow are running?
            models.Index(fields=["flow", "-expected_start_time"], name="flow_run_by_flow"),
            # Agents and the late service: what is due?
            models.Index(
                fields=["next_scheduled_start_time"], name="flow_run_due", condition=Q(state_type="SCHEDULED")
            ),
            # Nested flows: which flow run does this task run stand for?
            models.Index(
                fields=["parent_task_run"],
                name="flow_run_by_parent_task",
                condition=Q(parent_task_run__isnull=False),
            ),
            # Agents: what is due in this queue, in which order?
            models.Index(
                fields=["work_queue_id", "next_scheduled_start_time"],
                name="flow_run_due_in_queue",
                condition=Q(work_queue_id__isnull=False, state_type="SCHEDULED"),
            ),
            # Limits of queues and pools: who holds their places?
            models.Index(
                fields=["work_queue_id"],
                name="flow_run_holding_queue",
                condition=Q(work_queue_id__isnull=False, state_type__in=HOLDING_TYPES),
            ),
            # Limits of deployments: who holds their places?
            models.Index(
                fields=["deployment_id"],
                name="flow_run_holding_deployment",
                condition=Q(deployment_id__isnull=False, state_type__in=HOLDING_TYPES),
            ),
            # Runners that ask by deployment, and what a changed schedule takes back.
            models.Index(
                fields=["deployment_id", "next_scheduled_start_time"],
                name="flow_run_due_of_deployment",
                condition=Q(deployment_id__isnull=False, state_type="SCHEDULED"),
            ),
            # Runs of a deployment.
            models.Index(
                fields=["deployment_id", "-expected_start_time"],
                name="flow_run_by_deployment",
                condition=Q(deployment_id__isnull=False),
            ),
        ]


class TaskRun(Run):
    """One call of a task. `dynamic_key` tells apart the calls of one task in one flow run."""

    # Here and in the states the unique constraint is the index of the foreign key: each index costs on each insert.
    flow_run = models.ForeignKey(FlowRun, on_delete=models.CASCADE, null=True, related_name="task_runs", db_index=False)
    task_key = models.CharField(max_length=1024)
    dynamic_key = models.CharField(max_length=1024)
    cache_key = models.CharField(max_length=2000, null=True)
    cache_expiration = models.DateTimeField(null=True)
    task_version = models.CharField(max_length=255, null=True)
    task_inputs = models.JSONField(default=dict, blank=True)
    flow_run_run_count = models.PositiveIntegerField(default=0)

    objects = TaskRunQuerySet.as_manager()

    class Meta:
        ordering = ["-expected_start_time", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["flow_run", "task_key", "dynamic_key"], name="one_task_run_per_dynamic_key"
            ),
            models.CheckConstraint(
                condition=Q(state_type__isnull=True) | Q(state_type__in=[t.value for t in StateType]),
                name="task_run_state_type_known",
            ),
        ]
        indexes = [
            # The task runs page and EXPECTED_START_TIME_DESC, by keyset.
            models.Index(fields=["-expected_start_time", "-id"], name="task_run_by_expected_start"),
            # Cancellation clean-up and crash detection: what is still open?
            models.Index(
                fields=["state_type", "flow_run"],
                name="task_run_unfinished",
                condition=Q(state_type__in=UNFINISHED_TYPES),
            ),
        ]


class StateRow(models.Model):
    """One state of one run, with the trail of rules that led to it. Rows are written once and never changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    seq = models.PositiveIntegerField()
    type = models.CharField(max_length=10, choices=STATE_TYPES)
    name = models.CharField(max_length=255)
    timestamp = models.DateTimeField()
    message = models.TextField(null=True)
    data = models.JSONField(null=True)
    details = models.JSONField(default=dict, help_text="The fields of state_details that are not at their default.")
    trail = models.JSONField(default=list, help_text="[[rule, verdict, reason], …] in the order of judgement.")
    # The verdict that the client was given; a repeat of the same proposal gets it again.
    verdict = models.CharField(max_length=6, default="ACCEPT")
    # A rejected proposal has another id than the state that was written instead.
    proposal_id = models.UUIDField(null=True)
    client_timestamp = models.DateTimeField(null=True, help_text="The client's clock, where it differs from ours.")
    epoch = models.PositiveIntegerField(default=0)
    author = models.CharField(max_length=255, null=True, help_text="Who wrote it; null: the run's own client.")

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
    """The newest finished task run state with this cache key; runs with the same key may reuse it until it expires."""

    # Long keys are stored as their hash: an index of PostgreSQL takes no more than 2,700 bytes.
    cache_key = models.CharField(max_length=255)
    expires_at = models.DateTimeField(null=True)
    task_run_state = models.ForeignKey(TaskRunState, on_delete=models.CASCADE, related_name="cache_entries")
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        # One row per key: the table grows with the keys, not with the runs that met them.
        constraints = [models.UniqueConstraint(fields=["cache_key"], name="one_cache_entry_per_key")]
        verbose_name_plural = "cache entries"

    def __str__(self) -> str:
        return self.cache_key


class Log(models.Model):
    """One line that a run wrote."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created = models.DateTimeField(default=timezone.now, editable=False)
    name = models.CharField(max_length=255)
    level = models.SmallIntegerField()
    message = models.TextField()
    timestamp = models.DateTimeField()
    # No foreign keys: a line is kept when it arrives before its run, and retention deletes logs on its own clock.
    flow_run_id = models.UUIDField(null=True)
    task_run_id = models.UUIDField(null=True)

    objects = LogQuerySet.as_manager()

    class Meta:
        ordering = ["timestamp", "id"]
        indexes = [
            # A run's log, in order, by keyset.
            models.Index(fields=["flow_run_id", "timestamp", "id"], name="log_by_flow_run"),
            models.Index(
                fields=["task_run_id", "timestamp"], name="log_by_task_run", condition=Q(task_run_id__isnull=False)
            ),
            # Retention, and logs of all runs by time.
            models.Index(fields=["timestamp"], name="log_by_time"),
        ]

    def __str__(self) -> str:
        return self.message[:80]


class Artifact(Row):
    """Something a run wants to show: markdown, a table, a link, a result."""

    key = models.CharField(max_length=255, null=True)
    type = models.CharField(max_length=255, null=True)
    description = models.TextField(null=True)
    data = models.JSONField(null=True)
    metadata = models.JSONField(null=True)
    flow_run_id = models.UUIDField(null=True)
    task_run_id = models.UUIDField(null=True)

    objects = ArtifactQuerySet.as_manager()

    class Meta:
        ordering = ["-created"]
        indexes = [
            models.Index(fields=["key", "-created"], name="artifact_by_key", condition=Q(key__isnull=False)),
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
    """A value handed to a flow run from outside, such as the answer that resumes a pause."""

    flow_run = models.ForeignKey(FlowRun, on_delete=models.CASCADE, related_name="inputs", db_index=False)
    key = models.CharField(max_length=255)
    value = models.TextField()
    sender = models.CharField(max_length=1024, null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flow_run", "key"], name="one_input_per_key")]

    def __str__(self) -> str:
        return self.key


class SavedSearch(Row):
    """A named set of filters of the dashboard."""

    name = models.CharField(max_length=255, unique=True)
    filters = models.JSONField(default=list)

    class Meta:
        verbose_name_plural = "saved searches"

    def __str__(self) -> str:
        return self.name
