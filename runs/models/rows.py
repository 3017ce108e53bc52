"""The columns of every row that the API returns."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from orionflow.contract.ids import uuid7
from orionflow.contract.wire import NAME_PATTERN

# Django formats the message with %, so a percent sign is written twice.
NAME = RegexValidator(NAME_PATTERN, "must not contain / %% & > < or control characters")


class Row(models.Model):
    """The columns that every resource of the API has."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created = models.DateTimeField(default=timezone.now, editable=False)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
