"""Runs of flows and of tasks, with a copy of their current state, so that lists filter without a join."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from orchestration.core.states import StateType
from runs.models.flows import Flow
from runs.models.rows import Row
from runs.querysets import (
    BAD_TYPES,
    COMMON_NAMES,
    HOLDING_TYPES,
    OPEN_TYPES,
    RunQuerySet,
    is_none_of,
    is_one_of,
)

STATE_TYPES = [(state_type.value, state_type.value.title()) for state_type in StateType]
UNFINISHED_TYPES = list(OPEN_TYPES)
IS_KNOWN = Q(state_type__isnull=True) | is_one_of("state_type", [state_type.value for state_type in StateType])


class Run(Row):
    """The common columns of flow runs and task runs: their current state, their times and their numbers of attempts."""

    name = models.CharField(max_length=1024, blank=True)
    tags = models.JSONField(default=list, blank=True)
    empirical_policy = models.JSONField(default=dict, blank=True)

    seq = models.PositiveIntegerField(
        default=0, help_text="The number of states so far, and the number of the current state."
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

    @property
    def attempts(self) -> int:
        """The number of attempts: `run_count` also counts resuming in the same process."""
        resumes: int = self.empirical_policy.get("resumes", 0)
        return max(self.run_count - resumes, min(self.run_count, 1))


class FlowRun(Run):
    """One call of a flow."""

    # These foreign keys have no index of their own where another index starts with the same column.
    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="runs", db_index=False)
    # The parent task run is deleted with the parent flow run; the nested run stays.
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
    # For a run that no agent started: the process that executes it, if it reported one.
    process = models.CharField(max_length=1024, null=True)
    # The environment of the run, once its program reported it (`runs.environments`). No foreign key, because the
    # environment may be stored later.
    environment_id = models.UUIDField(null=True)
    auto_scheduled = models.BooleanField(default=False)
    created_by = models.JSONField(null=True)
    # Ids of users whose rights limit those of its token, besides the rights of the deployment's author: who set its job
    # variables, and who was the author when its process loaded the code. Read it with `runs.limiting_users`, because
    # versions before this column stored none.
    limited_by = models.JSONField(null=True, editable=False)
    epoch = models.PositiveIntegerField(
        default=0, help_text="Fencing token: only the attempt with this number may write."
    )
    # For deployed runs: the schedule that planned the run, when agents were last notified of it, and how many attempts
    # were lost between the claim and the first report.
    schedule_id = models.UUIDField(null=True)
    hinted_at = models.DateTimeField(null=True)
    lost_starts = models.PositiveSmallIntegerField(default=0)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-expected_start_time", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["flow", "idempotency_key"], name="one_run_per_idempotency_key"),
            models.CheckConstraint(
                condition=IS_KNOWN,
                name="flow_run_state_type_known",
            ),
        ]
        # All ascending, because new rows then are appended, and each page is filled before the next one starts. Lists
        # read them backwards.
        indexes = [
            # The runs page and EXPECTED_START_TIME_DESC, by keyset.
            models.Index(fields=["expected_start_time", "id"], name="flow_run_by_expected_start"),
            # The runs page with a state filter.
            models.Index(fields=["state_type", "expected_start_time"], name="flow_run_by_state"),
            # A flow's page, and overlap: which runs of this flow are running?
            models.Index(fields=["flow", "expected_start_time"], name="flow_run_by_flow"),
            # Lists and counts by flow and state.
            models.Index(fields=["flow", "state_type", "expected_start_time"], name="flow_run_by_flow_state"),
            # Unfinished runs: a partial index, so that planners know that they are few.
            models.Index(
                fields=["state_type", "expected_start_time"],
                name="flow_run_open",
                condition=is_one_of("state_type", OPEN_TYPES),
            ),
            # Failures: few rows among many.
            models.Index(
                fields=["state_type", "id"], name="flow_run_ended_badly", condition=is_one_of("state_type", BAD_TYPES)
            ),
            models.Index(
                fields=["state_type", "expected_start_time"],
                name="flow_run_ended_badly_at",
                condition=is_one_of("state_type", BAD_TYPES),
            ),
            # Counts of the failures that started on certain days, for dashboards.
            models.Index(
                fields=["state_type", "start_time"],
                name="flow_run_ended_badly_since",
                condition=is_one_of("state_type", BAD_TYPES),
            ),
            # Orders of lists, and filters by the same columns. The index by end time differs between databases:
            # migration 0010.
            models.Index(fields=["name", "id"], name="flow_run_by_name"),
            models.Index(Coalesce("start_time", "expected_start_time", "created"), F("id"), name="flow_run_by_start"),
            models.Index(fields=["start_time", "id"], name="flow_run_by_real_start"),
            models.Index(fields=["next_scheduled_start_time", "id"], name="flow_run_by_next_start"),
            # Filters by names of states that few runs are in.
            models.Index(
                fields=["state_name", "expected_start_time"],
                name="flow_run_by_rare_state",
                condition=is_none_of("state_name", COMMON_NAMES),
            ),
            # Filters by columns that most runs leave empty.
            models.Index(
                fields=["work_queue_name", "expected_start_time"],
                name="flow_run_by_queue_name",
                condition=Q(work_queue_name__isnull=False),
            ),
            # Runs of queues and pools.
            models.Index(
                fields=["work_queue_id", "expected_start_time"],
                name="flow_run_by_queue",
                condition=Q(work_queue_id__isnull=False),
            ),
            models.Index(fields=["flow_version"], name="flow_run_by_version", condition=Q(flow_version__isnull=False)),
            models.Index(
                fields=["idempotency_key"], name="flow_run_by_key", condition=Q(idempotency_key__isnull=False)
            ),
            # Retention, and the visibility of environments: which runs refer to an environment?
            models.Index(
                fields=["environment_id"], name="flow_run_by_environment", condition=Q(environment_id__isnull=False)
            ),
            # Agents and the late service: what is due?
            models.Index(
                fields=["next_scheduled_start_time"], name="flow_run_due", condition=Q(state_type="SCHEDULED")
            ),
            # Crash detection: which processes execute open runs?
            models.Index(
                fields=["process"],
                name="flow_run_open_process",
                condition=Q(process__isnull=False) & is_one_of("state_type", OPEN_TYPES),
            ),
            # Cancellation clean-up: which nested runs are still open?
            models.Index(
                fields=["state_type", "parent_task_run"],
                name="flow_run_open_nested",
                condition=Q(parent_task_run__isnull=False) & is_one_of("state_type", OPEN_TYPES),
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
            # Limits of queues and pools: which runs hold their slots?
            models.Index(
                fields=["work_queue_id"],
                name="flow_run_holding_queue",
                condition=Q(work_queue_id__isnull=False) & is_one_of("state_type", HOLDING_TYPES),
            ),
            # Limits of deployments: which runs hold their slots?
            models.Index(
                fields=["deployment_id"],
                name="flow_run_holding_deployment",
                condition=Q(deployment_id__isnull=False) & is_one_of("state_type", HOLDING_TYPES),
            ),
            # Runners that poll by deployment, and the runs that a changed schedule deletes.
            models.Index(
                fields=["deployment_id", "next_scheduled_start_time"],
                name="flow_run_due_of_deployment",
                condition=Q(deployment_id__isnull=False, state_type="SCHEDULED"),
            ),
            # Lists and counts by deployment and state.
            models.Index(
                fields=["deployment_id", "state_type", "expected_start_time"],
                name="flow_run_by_deployed_state",
                condition=Q(deployment_id__isnull=False),
            ),
            # Runs of a deployment.
            models.Index(
                fields=["deployment_id", "expected_start_time"],
                name="flow_run_by_deployment",
                condition=Q(deployment_id__isnull=False),
            ),
        ]


class TaskRun(Run):
    """One call of a task. `dynamic_key` distinguishes the calls of one task in one flow run."""

    # Here and in the states, the unique constraint also serves as the index of the foreign key: each index slows down
    # inserts.
    flow_run = models.ForeignKey(FlowRun, on_delete=models.CASCADE, null=True, related_name="task_runs", db_index=False)
    task_key = models.CharField(max_length=1024)
    dynamic_key = models.CharField(max_length=1024)
    cache_key = models.CharField(max_length=2000, null=True)
    cache_expiration = models.DateTimeField(null=True)
    task_version = models.CharField(max_length=255, null=True)
    task_inputs = models.JSONField(default=dict, blank=True)
    flow_run_run_count = models.PositiveIntegerField(default=0)
    # The first states, if they have nothing unusual; these have no rows of their own (`runs.states.selectors`).
    folded_states = models.BinaryField(null=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-expected_start_time", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["flow_run", "task_key", "dynamic_key"], name="one_task_run_per_dynamic_key"
            ),
            models.CheckConstraint(
                condition=IS_KNOWN,
                name="task_run_state_type_known",
            ),
        ]
        indexes = [
            # The task runs page and EXPECTED_START_TIME_DESC, by keyset.
            models.Index(fields=["expected_start_time", "id"], name="task_run_by_expected_start"),
            # Cancellation clean-up and crash detection: what is still open?
            models.Index(
                fields=["state_type", "flow_run"],
                name="task_run_unfinished",
                condition=is_one_of("state_type", OPEN_TYPES),
            ),
            # Failures: few rows among many.
            models.Index(
                fields=["state_type", "id"], name="task_run_ended_badly", condition=is_one_of("state_type", BAD_TYPES)
            ),
            models.Index(
                fields=["state_type", "expected_start_time"],
                name="task_run_ended_badly_at",
                condition=is_one_of("state_type", BAD_TYPES),
            ),
            models.Index(
                fields=["state_type", "start_time"],
                name="task_run_ended_badly_since",
                condition=is_one_of("state_type", BAD_TYPES),
            ),
            models.Index(
                fields=["state_name", "id"],
                name="task_run_by_rare_state",
                condition=is_none_of("state_name", COMMON_NAMES),
            ),
            # Orders of lists, and filters by the same columns. The index by end time differs between databases:
            # migration 0010.
            models.Index(fields=["name", "id"], name="task_run_by_name"),
            # The order of lists by the next start, which only runs that wait have.
            models.Index(
                fields=["next_scheduled_start_time", "id"],
                name="task_run_by_next_start",
                condition=Q(next_scheduled_start_time__isnull=False),
            ),
            # A filter of lists. On PostgreSQL this is a BRIN index: migration 0025.
            models.Index(fields=["start_time", "id"], name="task_run_by_start"),
            # Retention: which task runs outlived their flow run, or never had one?
            models.Index(
                fields=["flow_run", "state_timestamp"],
                name="task_run_without_flow_run",
                condition=Q(flow_run__isnull=True),
            ),
        ]
