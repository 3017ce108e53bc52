"""Statuses of queues, pools and deployments, told as events when they change.

A status follows from times, and nobody acts when somebody falls silent, so a service compares what is with what was
told last. What people do, as pausing a queue, is told at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from deployments.dispatch.selectors.liveness import ready_deployments, statuses_of_pools, statuses_of_queues
from deployments.models import Deployment, WorkPool, WorkQueue
from events.models import RecordedStatus
from events.recording.core import RESOURCE_ID, RESOURCE_ROLE
from events.recording.record import record_event
from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.models import Flow

Labels = Mapping[str, str]
AGENT_POOL = "prefect-agent"
# Of what was never told before: nobody was ready.
AT_FIRST = "NOT_READY"


@dataclass(frozen=True, slots=True)
class _Standing:
    """One thing with the status that it has."""

    kind: str
    status: str
    resource: Labels
    related: Sequence[Labels]


@repeated_on_conflict
def record_statuses(now: datetime) -> int:
    """Record an event for each status that has changed; how many."""
    pools = list(WorkPool.objects.defer("base_job_template"))
    standing = [*_of_queues(_queues(), now), *_of_pools(pools, now), *_of_deployments(now)]
    told = dict(RecordedStatus.objects.values_list("resource_id", "status"))
    changed = [one for one in standing if told.get(one.resource[RESOURCE_ID], AT_FIRST) != one.status]
    gone = told.keys() - {one.resource[RESOURCE_ID] for one in standing}
    if not changed and not gone:
        return 0
    with write_transaction():
        RecordedStatus.objects.filter(pk__in=gone).delete()
        return sum(_tell(one, now) for one in changed)


def tell_of_queue(queue: WorkQueue, now: datetime) -> None:
    """Within the transaction of what somebody did to the queue."""
    for one in _of_queues([queue], now):
        _tell(one, now)


def tell_of_pool(pool: WorkPool, now: datetime, *, is_new: bool = False) -> None:
    """Of a new pool it is told that nobody serves it yet."""
    for one in _of_pools([pool], now):
        _tell(one, now, at_first=None if is_new else AT_FIRST)


def _tell(one: _Standing, now: datetime, at_first: str | None = AT_FIRST) -> bool:
    """Whoever changes what was told last records the event, so that of two servers only one does."""
    id = one.resource[RESOURCE_ID]
    known, created = RecordedStatus.objects.get_or_create(pk=id, defaults={"status": one.status})
    if created:
        is_news = one.status != at_first
    else:
        is_news = bool(RecordedStatus.objects.filter(pk=id).exclude(status=one.status).update(status=one.status))
    if is_news:
        event = f"prefect.{one.kind}.{one.status.lower().replace('_', '-')}"
        record_event(event, resource=one.resource, related=one.related, now=now)
    return is_news


def _queues() -> list[WorkQueue]:
    return list(WorkQueue.objects.select_related("work_pool"))


def _of_queues(queues: Sequence[WorkQueue], now: datetime) -> Iterator[_Standing]:
    statuses = statuses_of_queues(queues, now)
    for queue in queues:
        resource = {**_labels("work-queue", queue), RESOURCE_ROLE: "work-queue"}
        yield _Standing("work-queue", statuses[queue.pk], resource, list(_pool_of(queue)))


def _of_pools(pools: Iterable[WorkPool], now: datetime) -> Iterator[_Standing]:
    # No worker says whether it is there for a pool of agents.
    own = [pool for pool in pools if pool.type != AGENT_POOL]
    statuses = statuses_of_pools(own, now) if own else {}
    for pool in own:
        yield _Standing("work-pool", statuses[pool.pk], _pool_labels(pool), ())


# Not what may be large: parameters, schemas and templates.
_QUEUE = ("name", "last_polled", "work_pool_id", "work_pool__name", "work_pool__type")
_NEEDED = ("name", "last_polled", "flow__name", "work_queue_id", *(f"work_queue__{name}" for name in _QUEUE))


def _of_deployments(now: datetime) -> Iterator[_Standing]:
    deployments = list(Deployment.objects.select_related("flow", "work_queue__work_pool").only(*_NEEDED))
    ready = ready_deployments(deployments, now)
    for one in deployments:
        related: list[Labels] = [{**_labels("flow", one.flow), RESOURCE_ROLE: "flow"}]
        if one.work_queue is not None:
            related += [
                {**_labels("work-queue", one.work_queue), RESOURCE_ROLE: "work-queue"},
                *_pool_of(one.work_queue),
            ]
        status = "READY" if one.pk in ready else "NOT_READY"
        yield _Standing("deployment", status, _labels("deployment", one), related)


def _pool_of(queue: WorkQueue) -> Iterator[Labels]:
    if queue.work_pool is not None:
        yield {**_pool_labels(queue.work_pool), RESOURCE_ROLE: "work-pool"}


def _pool_labels(pool: WorkPool) -> dict[str, str]:
    return {**_labels("work-pool", pool), "prefect.work-pool.type": pool.type}


def _labels(kind: str, row: WorkQueue | WorkPool | Deployment | Flow) -> dict[str, str]:
    return {RESOURCE_ID: f"prefect.{kind}.{row.pk}", "prefect.resource.name": row.name}
