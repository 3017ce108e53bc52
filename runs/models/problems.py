"""Problems: failures with the same cause, and each time that a flow run failed by it.

The id of a problem is its fingerprint, so that code with a failed state knows the problem without a query.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from runs.models.rows import Row
from runs.models.runs import FlowRun


class Problem(Row):
    """Failures with the same cause. A service creates it from the occurrences; users decide its status."""

    class Status(models.TextChoices):
        NEW = "new"
        ONGOING = "ongoing"
        REGRESSED = "regressed"
        MUTED = "muted"
        RESOLVED = "resolved"

    type = models.CharField(max_length=120)
    place = models.CharField(max_length=160, blank=True)
    message = models.CharField(
        max_length=240, blank=True, help_text="The message without the parts that differ between runs."
    )
    example = models.CharField(max_length=400, blank=True, help_text="The message of the newest failure.")
    status = models.CharField(max_length=9, choices=Status, default=Status.NEW)
    since = models.DateTimeField(help_text="When the problem got this status.")
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    failures = models.PositiveIntegerField(
        default=0, help_text="The number of failures, including those of deleted runs."
    )
    noticed = models.PositiveIntegerField(default=0, help_text="The number of failures when an event last reported it.")
    # {hour: failures}, for the newest hours.
    trend = models.JSONField(default=dict)
    version = models.CharField(
        max_length=255, blank=True, help_text="The version of the code that failed last, if known."
    )
    assignee = models.CharField(max_length=255, blank=True)
    muted_until = models.DateTimeField(null=True)
    muted_until_failures = models.PositiveIntegerField(null=True)
    muted_in_version = models.CharField(max_length=255, null=True, help_text="Muted until a different version fails.")
    resolution = models.CharField(max_length=400, blank=True, help_text="What resolved it.")
    resolved_by = models.CharField(
        max_length=255, blank=True, help_text="Who resolved it. Empty if it was resolved automatically."
    )
    checked_at = models.DateTimeField(
        default=timezone.now, help_text="When it was last checked whether the problem is resolved."
    )

    class Meta:
        indexes = [
            # The list of all problems and that of one status, by the last failure.
            models.Index(fields=["-last_seen", "-id"], name="problem_by_last"),
            models.Index(fields=["status", "-last_seen", "-id"], name="problem_by_status"),
            # Which problems may be resolved?
            models.Index(fields=["checked_at"], name="problem_to_check", condition=~Q(status="resolved")),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def title(self) -> str:
        """The error in one line, as in the newest run."""
        return f"{self.type}: {self.example}" if self.example else self.type


class Occurrence(models.Model):
    """A flow run that entered a bad state because of a problem. It is inserted with the state, and has the same id."""

    id = models.UUIDField(primary_key=True, editable=False)
    problem_id = models.UUIDField()
    run = models.ForeignKey(
        FlowRun, on_delete=models.CASCADE, related_name="occurrences", db_constraint=False, db_index=False
    )
    flow_id = models.UUIDField(null=True)
    deployment_id = models.UUIDField(null=True)
    seen_at = models.DateTimeField()
    # True until the service has counted it.
    is_pending = models.BooleanField(default=True)
    is_nested = models.BooleanField(default=False)
    # Whether the run that it is nested in failed by the same problem; then only that one is counted.
    is_consequence = models.BooleanField(default=False)

    class Meta:
        indexes = [
            # The runs of a problem, newest first.
            models.Index(fields=["problem_id", "-seen_at", "-id"], name="occurrence_of_problem"),
            # The problems by which a run failed, and deletion with the run.
            models.Index(fields=["run", "-seen_at"], name="occurrence_of_run"),
            # Possible consequences: whether the outer run failed as well is known only later.
            models.Index(
                fields=["problem_id", "seen_at"],
                name="occurrence_nested",
                condition=Q(is_nested=True, is_consequence=False),
            ),
            # The service reads only these.
            models.Index(fields=["id"], name="occurrence_pending", condition=Q(is_pending=True)),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} by {self.problem_id}"
