"""Deployments: flows that Orion may run, with the source of their code and the settings of their runs."""

from __future__ import annotations

from django.db import models

from deployments.work.models import WorkQueue
from runs.models import NAME, Flow, Row


class Deployment(Row):
    """A deployed flow: where its code is, its parameters, and where it runs."""

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
    # The queue in which its runs waited until that queue was deleted; see FormerQueue.
    former_queue_id = models.UUIDField(null=True, editable=False)
    overlap = models.CharField(max_length=10, default="allow")
    crash_retries = models.PositiveIntegerField(
        null=True, help_text="How often a run is retried after a crash. Empty: as its code says."
    )
    concurrency_limit = models.PositiveIntegerField(
        null=True, help_text="How many of its runs may be pending or running at the same time."
    )
    must_start_within = models.DurationField(null=True, help_text="Counted from the scheduled time of the run.")
    must_finish_within = models.DurationField(null=True, help_text="Counted from the scheduled time of the run.")
    result_storage = models.CharField(
        max_length=100, null=True, help_text="The location of results, unless a flow or task names another one."
    )
    last_polled = models.DateTimeField(null=True)
    secrets = models.JSONField(
        default=list, blank=True, help_text="The blocks whose secrets its runs may read, as type/name."
    )
    created_by = models.JSONField(null=True)
    updated_by = models.JSONField(null=True)
    # The user who last set the code that is executed, and whose rights its runs have. Null: the owner of the server.
    author = models.IntegerField(null=True, editable=False)
    author_name = models.CharField(max_length=150, null=True, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["flow", "name"], name="one_deployment_name_per_flow")]
        # For the list of authors, whose rights are checked with each claim.
        indexes = [models.Index(fields=["author"], name="deployment_author", condition=models.Q(author__isnull=False))]

    def __str__(self) -> str:
        return self.name
