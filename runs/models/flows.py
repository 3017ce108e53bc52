"""Flows: functions that users decorated."""

from __future__ import annotations

from django.db import models

from runs.models.rows import NAME, Row


class Flow(Row):
    """A function that a user decorated, identified by its name."""

    name = models.CharField(max_length=255, unique=True, validators=[NAME])
    tags = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
