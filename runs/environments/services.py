"""Environments: stored when a program first reports one, deleted when no run refers to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.ids import environment_id
from runs.models import Environment, FlowRun

KEPT_WITHOUT_RUNS = timedelta(days=2)


@repeated_on_conflict
def store_environment(*, content: Mapping[str, Any], now: datetime) -> UUID:
    """Store an environment under the digest of its content; a known one stays as it is."""
    id = environment_id(content)
    with write_transaction():
        Environment.objects.bulk_create([Environment(id=id, created=now, **content)], ignore_conflicts=True)
    return id


def unused_environments(now: datetime) -> QuerySet[Environment]:
    """Return environments that no run refers to, except new ones: programs store them before they create their run."""
    named = FlowRun.objects.filter(environment_id=OuterRef("pk"))
    return Environment.objects.filter(created__lt=now - KEPT_WITHOUT_RUNS).filter(~Exists(named)).order_by("created")
