"""That a queue or a deployment was asked for work: remembered, but not at every poll."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from deployments.models import Deployment, WorkQueue
from orchestration.transactions import repeated_on_conflict, write_transaction

# Agents ask every second or so, and nobody can tell the difference on a page.
_OFTEN_ENOUGH = timedelta(seconds=5)


@repeated_on_conflict
def note_polled_queues(*, queue_ids: Collection[UUID], now: datetime) -> None:
    """Costs one read; a write once in some seconds. The deployments of the queues were asked for as well."""
    stale = _older(now) & Q(pk__in=queue_ids)
    ids = sorted(WorkQueue.objects.filter(stale).values_list("pk", flat=True))
    if ids:
        with write_transaction():
            WorkQueue.objects.filter(pk__in=ids).update(last_polled=now)
            Deployment.objects.filter(_older(now), work_queue__in=ids).update(last_polled=now)


@repeated_on_conflict
def note_polled_deployments(*, deployment_ids: Collection[UUID], now: datetime) -> None:
    stale = _older(now) & Q(pk__in=deployment_ids)
    ids = sorted(Deployment.objects.filter(stale).values_list("pk", flat=True))
    if ids:
        with write_transaction():
            Deployment.objects.filter(pk__in=ids).update(last_polled=now)


def _older(now: datetime) -> Q:
    return Q(last_polled__isnull=True) | Q(last_polled__lt=now - _OFTEN_ENOUGH)
