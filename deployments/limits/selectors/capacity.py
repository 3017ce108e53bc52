"""Count what is taken and free under the limits of queues, pools and deployments, and under global limits.

A run that is PENDING, RUNNING or CANCELLING holds a slot of each of the first three: its own row is the slot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from uuid import UUID

from django.db import connection
from django.db.models import Count, F, Q, QuerySet, Sum

from deployments.limits.core import Usage, as_of
from deployments.models import Deployment, GlobalLimit, GlobalSlot, WorkPool, WorkQueue
from orchestration.compiled import Compiled
from orchestration.sight import sees_in_part
from orchestration.tables import dialect
from orionflow.contract.states import TERMINAL, in_order
from runs.lists.filters import lookups  # noqa: F401  (registers `orion_holds_all`)
from runs.models import FlowRun
from runs.querysets import HOLDING_TYPES, is_holding

UNLIMITED = 2**31
_ENDED = in_order(TERMINAL)


@dataclass(frozen=True, slots=True)
class Room:
    """Queues, and how many runs may still start in each and in their pools; 0 where nothing may start."""

    queues: Sequence[WorkQueue]
    of_queues: Mapping[UUID, int]
    of_pools: Mapping[UUID, int]
    # Pools with a job template.
    with_templates: frozenset[UUID] = frozenset()

    def in_queue(self, queue: WorkQueue) -> int:
        room = self.of_queues.get(queue.pk, UNLIMITED)
        return min(room, self.of_pools.get(queue.work_pool_id, UNLIMITED)) if queue.work_pool_id else room

    @property
    def closed(self) -> list[UUID]:
        return [queue.pk for queue in self.queues if self.in_queue(queue) <= 0]


def _in_order() -> QuerySet[WorkQueue]:
    rows = WorkQueue.objects.annotate(has_template=~Q(work_pool__base_job_template={}))
    return rows.order_by("priority", "name", "pk")


def _with_pools() -> QuerySet[WorkQueue]:
    return _in_order().select_related("work_pool").defer("work_pool__base_job_template")


_every_queue = Compiled(_with_pools)
_queues = Compiled(lambda ids, pools: _with_pools().filter(Q(pk__in=ids) | Q(work_pool__in=pools)))
_pools_of_queues = Compiled(
    lambda ids, pools: _in_order().filter(Q(pk__in=ids) | Q(work_pool__in=pools)).only("work_pool_id")
)


def room_in(queue_ids: Collection[UUID] | None, pool_ids: Collection[UUID] = ()) -> Room:
    """Return the room in these queues and all queues of these pools; or in every queue, if `queue_ids` is None.

    One query, another one if a queue is limited, and two if a pool is.
    """
    queues = _every_queue() if queue_ids is None else _queues(list(queue_ids), list(pool_ids))
    pools = {queue.work_pool.pk: queue.work_pool for queue in queues if queue.work_pool}
    taken = _taken_in_queues([queue.pk for queue in queues if queue.concurrency_limit is not None])
    taken_in_pools = _taken_in_pools([pk for pk, pool in pools.items() if pool.concurrency_limit is not None])
    return Room(
        queues,
        {queue.pk: _room(queue, _taken_by_filter(queue) or taken.get(queue.pk, 0)) for queue in queues},
        {pk: _room(pool, taken_in_pools.get(pk, 0)) for pk, pool in pools.items()},
        _with_templates(queues),
    )


def uncounted(queue_ids: Collection[UUID], pool_ids: Collection[UUID]) -> Room:
    """Return these queues without counting their room, for runs that are named: the rules count it. One query."""
    queues = _pools_of_queues(list(queue_ids), list(pool_ids))
    return Room(queues, {}, {}, _with_templates(queues))


def _with_templates(queues: Iterable[WorkQueue]) -> frozenset[UUID]:
    return frozenset(queue.work_pool_id for queue in queues if queue.work_pool_id and queue.has_template)  # type: ignore[attr-defined]


def _room(limited: WorkQueue | WorkPool, taken: int) -> int:
    if limited.is_paused:
        return 0
    return UNLIMITED if limited.concurrency_limit is None else max(limited.concurrency_limit - taken, 0)


def _taken_in_queues(ids: Collection[UUID]) -> dict[UUID, int]:
    if not ids:
        return {}
    held = FlowRun.objects.filter(is_holding(), work_queue_id__in=ids)
    return dict(held.values_list("work_queue_id").annotate(Count("pk")).order_by())


def _taken_in_pools(ids: Collection[UUID]) -> dict[UUID, int]:
    if not ids:
        return {}
    pool_of = dict(WorkQueue.objects.filter(work_pool__in=ids).values_list("pk", "work_pool_id"))
    taken = dict.fromkeys(ids, 0)
    for queue_id, slots in _taken_in_queues(pool_of).items():
        taken[pool_of[queue_id]] += slots
    return taken


def chosen_by(queue: WorkQueue) -> Q:
    """Return the condition for runs that wait in this queue: those that name it, or those that its filter selects."""
    if not queue.filter:
        return Q(work_queue_id=queue.pk)
    chosen = Q(tags__orion_holds_all=queue.filter.get("tags") or [])
    ids = queue.filter.get("deployment_ids")
    return chosen & Q(deployment_id__in=ids) if ids else chosen


def takes_runs_of(queue: WorkQueue, deployment: Deployment) -> bool:
    """Whether runs of the deployment wait in this queue, like `chosen_by` for its future runs."""
    if not queue.filter:
        return deployment.work_queue_id == queue.pk
    ids = queue.filter.get("deployment_ids")
    return set(queue.filter.get("tags") or ()) <= set(deployment.tags) and (not ids or str(deployment.pk) in ids)


def _taken_by_filter(queue: WorkQueue) -> int:
    if not queue.filter or queue.concurrency_limit is None:
        return 0
    return FlowRun.objects.filter(chosen_by(queue), is_holding()).count()


# How many runs of each deployment hold slots, by their queue.
Holding = Mapping[UUID, Mapping[UUID | None, int]]


# The same text as the condition of the index.
_HOLDING_BY_DEPLOYMENT = (
    "SELECT deployment_id, work_queue_id, COUNT(*) FROM runs_flowrun{hint} WHERE deployment_id IS NOT NULL AND ("
    + " OR ".join(f"state_type = '{one}'" for one in HOLDING_TYPES)
    + ") GROUP BY deployment_id, work_queue_id"
)


def holding_by_deployment() -> Holding:
    """Count the runs that hold slots with one query. They are few, and found by an index."""
    # Without the hint, SQLite reads every run in these states. With limited sight, another table stands for this one.
    by_index = connection.vendor == "sqlite" and not sees_in_part()
    hint, read_uuid = " INDEXED BY flow_run_holding_deployment" if by_index else "", dialect().read_uuid
    found: dict[UUID, dict[UUID | None, int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_HOLDING_BY_DEPLOYMENT.format(hint=hint))
        for deployment_id, queue_id, runs in cursor.fetchall():
            found.setdefault(read_uuid(deployment_id), {})[queue_id and read_uuid(queue_id)] = runs
    return found


_limits_that_may_be_full = Compiled(
    lambda ids: (
        # A limit of 0 is full without any run.
        Deployment.objects.filter(Q(pk__in=ids) | Q(concurrency_limit=0), concurrency_limit__isnull=False)
        .order_by()
        .values_list("pk", "concurrency_limit")
    )
)
_limits_of = Compiled(
    lambda ids: (
        Deployment.objects.filter(pk__in=ids, concurrency_limit__isnull=False)
        .order_by()
        .values_list("pk", "concurrency_limit")
    )
)


def full_deployments(holding: Holding) -> list[UUID]:
    """Return the deployments whose own limit is full."""
    limits = _limits_that_may_be_full(list(holding))
    return [pk for pk, most in limits if most is not None and _taken(holding, pk) >= most]


def room_of_deployments(ids: Iterable[UUID], holding: Holding) -> dict[UUID, int]:
    """Return how many more runs each of these deployments may start; those without a limit are left out."""
    limits = _limits_of(list(set(ids)))
    return {pk: max(most - _taken(holding, pk), 0) for pk, most in limits if most is not None}


def _taken(holding: Holding, deployment_id: UUID) -> int:
    return sum(holding.get(deployment_id, {}).values())


def is_held(now: datetime) -> Q:
    """Return the condition for slots of global limits that count: not expired, and not of an attempt that has ended.

    A slot of a run ends at the same moment as its attempt, without being released.
    """
    of_attempt = Q(flow_run__epoch=F("epoch")) & ~Q(flow_run__state_type__in=_ENDED)
    return Q(expires_at__gt=now) & (Q(flow_run__isnull=True) | of_attempt)


def slots_held(limit_ids: Collection[UUID], now: datetime) -> dict[UUID, int]:
    """Return how many slots of these global limits are held, by limit."""
    if not limit_ids:
        return {}
    held = GlobalSlot.objects.filter(is_held(now), limit__in=limit_ids)
    return dict(held.values_list("limit_id").annotate(Sum("slots")).order_by())


def usage_of(limit: GlobalLimit, held: int = 0, *, named: bool = False) -> Usage:
    """Return the stored counts of a global limit, as its rules use them."""
    return Usage(
        held=held,
        named=named,
        limit=limit.limit,
        active=limit.active,
        taken=limit.active_slots,
        denied=limit.denied_slots,
        decay=limit.slot_decay_per_second,
        average_occupancy=limit.avg_slot_occupancy_seconds,
        counted_at=limit.counted_at,
    )


def slots_of_anonymous_takers(limit: GlobalLimit, now: datetime) -> int:
    """Return the slots of anonymous takers. A slot counts until the last fraction of it has decayed."""
    # The decay is computed in floats: without this, an error in the last digit would count as a slot.
    return ceil(as_of(usage_of(limit), now).taken - 1e-9)
