"""Retries of runs from some of their tasks, and the results that they reuse."""

from __future__ import annotations

from django.db import models

from runs.models.rows import Row
from runs.models.runs import FlowRun


class RunRetry(Row):
    """A retry from tasks: another attempt of a run, or a new run that reuses the records of another one."""

    flow_run = models.ForeignKey(FlowRun, on_delete=models.CASCADE, related_name="retries")
    source_id = models.UUIDField(
        db_index=True, help_text="The run whose results are reused: the same run, or another one."
    )
    source_name = models.CharField(max_length=1024, blank=True)
    attempt = models.PositiveIntegerField(help_text="The number of the attempt that this retry starts.")
    author = models.CharField(max_length=255, blank=True)
    chosen = models.JSONField(
        default=list, help_text="What was requested: names of tasks, or names or ids of task runs."
    )
    # Ids of states. When a call enters another state later, that has another id, and following attempts reuse it.
    again = models.JSONField(default=list, help_text="States whose results are not reused.")
    entered = models.JSONField(default=list, help_text="States of nested runs of which only a part runs again.")
    plan = models.JSONField(default=dict, help_text="The numbers that the preview showed.")
    outcome = models.JSONField(null=True, help_text="What the attempt reported: results reused, task runs executed.")

    class Meta:
        ordering = ["-created", "-id"]
        verbose_name_plural = "run retries"

    def __str__(self) -> str:
        return f"{self.source_name or self.source_id} from {', '.join(self.chosen)}"

    @property
    def is_new_run(self) -> bool:
        return self.source_id != self.flow_run_id
