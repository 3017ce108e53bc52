"""Record that a queue or a deployment was polled, but not at every poll."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from deployments.models import Deployment, WorkQueue
from orchestration.authors import asking_user
from orchestration.transactions import repeated_on_conflict, write_transaction

# Agents poll about every second, and pages need no finer resolution.
_OFTEN_ENOUGH = timedelta(seconds=5)
# The number of agents' users that a queue remembers.
MOST_POLLERS = 100


@repeated_on_conflict
def note_polled_queues(*, queue_ids: Collection[UUID], now: datetime) -> None:
    """Record polls of queues and of their deployments. Costs one read, and a write every few seconds.

    Agents of other clients do not register, so their users are known only by the keys of the polls.
    """
    user = asking_user()
    if user is not None:
        for queue in WorkQueue.objects.filter(pk__in=queue_ids).only("polled_by"):
            if user not in queue.polled_by:
                with write_transaction():
                    polled_by = [*queue.polled_by[1 - MOST_POLLERS :], user]
                    WorkQueue.objects.filter(pk=queue.pk).update(polled_by=polled_by)
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
