"""Record events when the statuses of queues, pools and deployments change.

A status follows from times, and nothing is written when a worker falls silent, so a service compares the present
statuses with those recorded last. A change by a request, such as pausing a queue, is recorded at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from deployments.dispatch.selectors.liveness import ready_deployments, statuses_of_pools, statuses_of_queues
from deployments.models import Deployment, WorkPool, WorkQueue
from events.models import RecordedStatus
from events.recording.record import record_event
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.kinds import AGENT_POOL, RESOURCE_ID, RESOURCE_ROLE
from runs.models import Flow

Labels = Mapping[str, str]
# The status of an object for which no event was recorded yet.
AT_FIRST = "NOT_READY"


@dataclass(frozen=True, slots=True)
class _Standing:
    """A queue, a pool or a deployment with its current status."""

    kind: str
    status: str
    resource: Labels
    related: Sequence[Labels]


@repeated_on_conflict
def record_statuses(now: datetime) -> int:
    """Record an event for each status that has changed, and return how many."""
    # Read first: what a request changes after this has another recorded status than the one that was read.
    recorded = dict(RecordedStatus.objects.values_list("resource_id", "status"))
    pools = list(WorkPool.objects.defer("base_job_template"))
    standing = [*_of_queues(_queues(), now), *_of_pools(pools, now), *_of_deployments(now)]
    changed = [one for one in standing if recorded.get(one.resource[RESOURCE_ID], AT_FIRST) != one.status]
    gone = recorded.keys() - {one.resource[RESOURCE_ID] for one in standing}
    if not changed and not gone:
        return 0
    with write_transaction():
        RecordedStatus.objects.filter(pk__in=gone).delete()
        return sum(_record_next(one, recorded.get(one.resource[RESOURCE_ID]), now) for one in changed)


def record_queue_status(queue: WorkQueue, now: datetime) -> None:
    """Record the status of a queue, in the transaction that changes it."""
    for one in _of_queues([queue], now):
        _record(one, now)


def record_pool_status(pool: WorkPool, now: datetime, *, is_new: bool = False) -> None:
    """Record the status of a pool. A new pool always has an event, also with the initial status."""
    for one in _of_pools([pool], now):
        _record(one, now, at_first=None if is_new else AT_FIRST)


def _record_next(one: _Standing, before: str | None, now: datetime) -> bool:
    """Record an event, unless a request or another server has recorded another status than `before` meanwhile."""
    id = one.resource[RESOURCE_ID]
    if before is None:
        _, is_news = RecordedStatus.objects.get_or_create(pk=id, defaults={"status": one.status})
    else:
        is_news = bool(RecordedStatus.objects.filter(pk=id, status=before).update(status=one.status))
    if is_news:
        _record_event(one, now)
    return is_news


def _record(one: _Standing, now: datetime, at_first: str | None = AT_FIRST) -> None:
    """Record an event if the status has changed."""
    # Only the server whose UPDATE changes the row records the event, so two servers record it only once.
    id = one.resource[RESOURCE_ID]
    known, created = RecordedStatus.objects.get_or_create(pk=id, defaults={"status": one.status})
    if created:
        is_news = one.status != at_first
    else:
        is_news = bool(RecordedStatus.objects.filter(pk=id).exclude(status=one.status).update(status=one.status))
    if is_news:
        _record_event(one, now)


def _record_event(one: _Standing, now: datetime) -> None:
    event = f"prefect.{one.kind}.{one.status.lower().replace('_', '-')}"
    record_event(event, resource=one.resource, related=one.related, now=now)


def _queues() -> list[WorkQueue]:
    return list(WorkQueue.objects.select_related("work_pool"))


def _of_queues(queues: Sequence[WorkQueue], now: datetime) -> Iterator[_Standing]:
    statuses = statuses_of_queues(queues, now)
    for queue in queues:
        resource = {**_labels("work-queue", queue), RESOURCE_ROLE: "work-queue"}
        yield _Standing("work-queue", statuses[queue.pk], resource, list(_pool_of(queue)))


def _of_pools(pools: Iterable[WorkPool], now: datetime) -> Iterator[_Standing]:
    # Pools for agents are left out: Prefect's agents send no heartbeats.
    own = [pool for pool in pools if pool.type != AGENT_POOL]
    statuses = statuses_of_pools(own, now) if own else {}
    for pool in own:
        yield _Standing("work-pool", statuses[pool.pk], _pool_labels(pool), ())


# Without columns that may be large: parameters, schemas and templates.
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
