"""Usage of work queues: stored when a queue is deleted, and restored when a queue with its name is created again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import F

from deployments.models import Deployment, FormerQueue, WorkQueue
from runs.models import UNFINISHED_TYPES, FlowRun

MOST_COUNTED = 1_000


@dataclass(frozen=True, slots=True)
class Usage:
    """How many deployments use some queues, and how many unfinished runs wait or run there."""

    deployments: int
    runs: int

    def __bool__(self) -> bool:
        return bool(self.deployments or self.runs)

    def __str__(self) -> str:
        counts = (_counted(self.deployments, "deployment"), _counted(self.runs, "unfinished run"))
        return " and ".join(filter(None, counts))


def _counted(number: int, what: str) -> str:
    if not number:
        return ""
    return f"{number}{' or more' if number == MOST_COUNTED else ''} {what}{'' if number == 1 else 's'}"


def usage_of(queue_ids: Sequence[UUID]) -> Usage:
    deployments = Deployment.objects.filter(work_queue__in=queue_ids).count()
    # One type at a time, because each has an index; a single query would scan the runs of the queue.
    runs = sum(
        FlowRun.objects.filter(work_queue_id__in=queue_ids, state_type=state_type).order_by()[:MOST_COUNTED].count()
        for state_type in UNFINISHED_TYPES
    )
    return Usage(deployments, min(runs, MOST_COUNTED))


def remember_usage(queues: Sequence[WorkQueue]) -> None:
    """Store which deployments and runs use these queues, which the caller is about to delete."""
    for queue in queues:
        if not usage_of([queue.pk]):
            continue
        pool_name = queue.work_pool.name if queue.work_pool else ""
        # Of several deleted queues with a name, the last one is restored.
        FormerQueue.objects.filter(pool_name=pool_name, name=queue.name).delete()
        # Runs keep the id of their queue, which no constraint checks; this row says which name it had.
        FormerQueue.objects.create(id=queue.pk, pool_name=pool_name, name=queue.name)
        Deployment.objects.filter(work_queue=queue).update(
            former_queue_id=F("work_queue_id"), work_queue_name=queue.name
        )


def former_queue(pool_name: str, name: str) -> FormerQueue | None:
    return FormerQueue.objects.filter(pool_name=pool_name, name=name).first()


def restore_usage(former: FormerQueue, queue: WorkQueue) -> None:
    """Move the runs and deployments of the former queue with this name to `queue`."""
    cut_off = Deployment.objects.filter(former_queue_id=former.pk, work_queue__isnull=True)
    cut_off.update(work_queue=queue, former_queue_id=None)
    if former.pk != queue.pk:
        FlowRun.objects.filter(work_queue_id=former.pk, state_type__in=UNFINISHED_TYPES).update(work_queue_id=queue.pk)
    former.delete()
