"""The tags of runs as rows, so that runs are found and counted by tag without reading them.

Triggers on the tables of runs maintain these rows (`runs.tag_rows`); no code writes them.
"""

from __future__ import annotations

from django.db import models

from runs.models.runs import FlowRun, TaskRun


class RunTag(models.Model):
    """A tag of a run, with the run's time, so that the runs of a tag are stored in the order of lists."""

    tag = models.TextField()
    expected_start_time = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.tag


class FlowRunTag(RunTag):
    pk = models.CompositePrimaryKey("tag", "run_id")
    run = models.ForeignKey(
        FlowRun, on_delete=models.DO_NOTHING, related_name="tag_rows", db_constraint=False, db_index=False
    )

    class Meta:
        # Runs of a tag, newest first.
        indexes = [models.Index(fields=["tag", "expected_start_time", "run"], name="flow_run_tag_by_time")]


class TaskRunTag(RunTag):
    pk = models.CompositePrimaryKey("tag", "run_id")
    run = models.ForeignKey(
        TaskRun, on_delete=models.DO_NOTHING, related_name="tag_rows", db_constraint=False, db_index=False
    )

    class Meta:
        # Runs of a tag, newest first.
        indexes = [models.Index(fields=["tag", "expected_start_time", "run"], name="task_run_tag_by_time")]
