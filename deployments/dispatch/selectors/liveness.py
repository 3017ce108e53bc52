"""Liveness: workers with a recent heartbeat, and the pools and queues that they serve.

Computed from stored times when it is read, so nothing has to run for a silence to be noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from django.db.models import Q

from deployments.models import Deployment, Worker, WorkPool, WorkQueue
from orionflow.contract.kinds import AGENT_POOL

# An agent that has not polled for this long has most likely stopped.
SILENCE = timedelta(seconds=60)

Status = Literal["READY", "NOT_READY", "PAUSED"]


def online(now: datetime) -> Q:
    """Return the condition for workers whose heartbeats are not overdue."""
    return Q(offline_at__gt=now)


def live_workers(pool_ids: Iterable[UUID | None], now: datetime) -> list[Worker]:
    ids = {pool_id for pool_id in pool_ids if pool_id}
    return list(Worker.objects.filter(online(now), work_pool__in=ids).order_by("name")) if ids else []


def served_queues(queues: Sequence[WorkQueue], now: datetime) -> set[UUID]:
    """Return the queues that were polled recently, or that a live agent serves, by name or with its whole pool."""
    workers = live_workers((queue.work_pool_id for queue in queues), now)
    named = {queue_id for worker in workers for queue_id in worker.queue_ids}
    # An agent of a pool stores a new queue only when it claims, which one without a free slot does not.
    pools = {worker.work_pool_id for worker in workers if worker.serves_pool}
    return {
        queue.pk
        for queue in queues
        if is_recent(queue.last_polled, now) or str(queue.pk) in named or queue.work_pool_id in pools
    }


def is_served(queue: WorkQueue, workers: Iterable[Worker], now: datetime) -> bool:
    """Whether one of these live workers serves the queue, or it was polled recently."""
    return is_recent(queue.last_polled, now) or any(_serves(worker, queue) for worker in workers)


def has_agents(queue: WorkQueue, now: datetime) -> bool:
    """Whether a live agent serves this queue."""
    return any(_serves(worker, queue) for worker in live_workers([queue.work_pool_id], now))


def is_recent(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment > now - SILENCE


def last_asked(queues: Sequence[WorkQueue], now: datetime) -> dict[UUID, datetime | None]:
    """Return when each queue was last polled, or an agent that serves it last sent a heartbeat; None if never."""
    alive = live_workers((queue.work_pool_id for queue in queues), now)
    return {
        queue.pk: max(
            (
                moment
                for moment in (queue.last_polled, *(one.last_heartbeat for one in alive if _serves(one, queue)))
                if moment is not None
            ),
            default=None,
        )
        for queue in queues
    }


def _serves(worker: Worker, queue: WorkQueue) -> bool:
    return worker.work_pool_id == queue.work_pool_id and (worker.serves_pool or str(queue.pk) in worker.queue_ids)


def statuses_of_queues(queues: Sequence[WorkQueue], now: datetime) -> dict[UUID, Status]:
    served = served_queues(queues, now)
    return {queue.pk: _status(queue.is_paused, queue.pk in served) for queue in queues}


def statuses_of_pools(pools: Sequence[WorkPool], now: datetime) -> dict[UUID, Status]:
    """Return the statuses of pools.

    A pool is ready while one of its workers is online; a pool for agents also while one of its queues is polled.
    """
    ready: set[UUID | None] = {worker.work_pool_id for worker in live_workers((pool.pk for pool in pools), now)}
    for_agents = [pool.pk for pool in pools if pool.type == AGENT_POOL]
    asked = WorkQueue.objects.filter(work_pool__in=for_agents, last_polled__gt=now - SILENCE)
    ready |= set(asked.values_list("work_pool_id", flat=True)) if for_agents else set()
    return {pool.pk: _status(pool.is_paused, pool.pk in ready) for pool in pools}


def ready_deployments(deployments: Sequence[Deployment], now: datetime) -> set[UUID]:
    """Return the deployments that have a server for their runs: polled recently themselves, or with a served queue.

    Their queues should have been selected with them.
    """
    served = served_queues([one.work_queue for one in deployments if one.work_queue], now)
    return {one.pk for one in deployments if is_recent(one.last_polled, now) or one.work_queue_id in served}


def _status(paused: bool, ready: bool) -> Status:
    if paused:
        return "PAUSED"
    return "READY" if ready else "NOT_READY"
