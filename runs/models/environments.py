"""Environments in which runs are executed: Python, packages and the state of the code; equal ones are stored once."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Environment(models.Model):
    """An environment that runs refer to. Its id is a digest of its content, so a row is never changed."""

    id = models.UUIDField(primary_key=True, editable=False)
    created = models.DateTimeField(default=timezone.now, editable=False)
    python = models.CharField(max_length=255)
    platform = models.CharField(max_length=255)
    commit = models.CharField(
        max_length=64, blank=True, help_text="The git commit. Empty if the code is not in a repository."
    )
    files = models.CharField(max_length=64, blank=True, help_text="A digest of the files of the code.")
    packages = models.JSONField(default=dict, help_text="The versions of packages, by name.")

    class Meta:
        # Retention: which environments are old enough to check whether a run still refers to them?
        indexes = [models.Index(fields=["created"], name="environment_by_created")]

    def __str__(self) -> str:
        return self.commit[:7] or str(self.id)
