"""Conversions of rows that an earlier version of Orion stored; an interrupted one continues from its position."""

from __future__ import annotations

from uuid import UUID

from django.db import models


class Conversion(models.Model):
    """One conversion: the last run that it converted, and when it finished."""

    name = models.CharField(max_length=100, primary_key=True)
    position = models.UUIDField(default=UUID(int=0))
    finished = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
