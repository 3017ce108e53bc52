"""Work pools with their queues, and single queues: waiting and running runs, and who serves them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from deployments.dispatch.selectors.liveness import Status, is_recent, live_workers
from deployments.limits.selectors.capacity import chosen_by
from deployments.models import Lease, Worker, WorkPool, WorkQueue
from deployments.pages.meters import Meter
from orionflow.contract.states import LATE
from runs.models import FlowRun
from runs.pages.selectors.keyset import Count as Capped
from runs.pages.selectors.keyset import Cursor, Page, capped_count, page_of
from runs.pages.selectors.runs import rows_of_runs, state_reasons
from runs.querysets import Literal, is_holding
from runs.why.selectors.blockers import Reason
from runs.why.selectors.queue_blockers import queue_blockers

POOLS_SHOWN = 100
QUEUES_SHOWN = 300
RUNS_PER_PAGE = 50
# The maximum to which a backlog is counted; the page shows more as "10 000+".
WAITING_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One queue in the list of its pool. The counts are None for a queue that selects its runs by a filter."""

    queue: WorkQueue
    status: Status
    meter: Meter
    running: int | None
    waiting: Capped | None
    late: int
    oldest: datetime | None
    served_by: Sequence[Worker]


@dataclass(frozen=True, slots=True)
class PoolLine:
    pool: WorkPool
    status: Status
    meter: Meter
    queues: Sequence[QueueLine]


@dataclass(frozen=True, slots=True)
class WorkPage:
    pools: Sequence[PoolLine]
    left_out: bool


def work_page(*, now: datetime) -> WorkPage:
    """Return pools and queues, with five queries."""
    pools = list(WorkPool.objects.defer("base_job_template").order_by("name")[: POOLS_SHOWN + 1])
    shown = pools[:POOLS_SHOWN]
    rows = WorkQueue.objects.filter(work_pool__in=[pool.pk for pool in shown]).order_by("priority", "name")
    queues = list(rows[: QUEUES_SHOWN + 1])
    left_out = len(pools) > POOLS_SHOWN or len(queues) > QUEUES_SHOWN
    queues = queues[:QUEUES_SHOWN]
    workers = live_workers([pool.pk for pool in shown], now)
    held = _held([queue.pk for queue in queues])
    backlog = _backlog([queue.pk for queue in queues], now)
    lines = {queue.pk: _queue_line(queue, workers, held, backlog, now) for queue in queues}
    return WorkPage([_pool_line(pool, queues, lines, workers, held, now) for pool in shown], left_out)


@dataclass(frozen=True, slots=True)
class _Backlog:
    """Due runs by queue: their number, the number of late ones, and since when the oldest waits."""

    waiting: Counter[UUID] = field(default_factory=Counter)
    late: Counter[UUID] = field(default_factory=Counter)
    oldest: dict[UUID, datetime] = field(default_factory=dict)
    capped: bool = False


def _backlog(queue_ids: Collection[UUID], now: datetime) -> _Backlog:
    if not queue_ids:
        return _Backlog()
    due = _due(now).filter(work_queue_id__in=queue_ids).order_by("next_scheduled_start_time")
    rows = list(due.values_list("work_queue_id", "state_name", "next_scheduled_start_time")[: WAITING_COUNTED + 1])
    backlog = _Backlog(capped=len(rows) > WAITING_COUNTED)
    for queue_id, state_name, since in rows[:WAITING_COUNTED]:
        if queue_id is None or since is None:  # the conditions above rule both out; the columns allow them
            continue
        backlog.waiting[queue_id] += 1
        backlog.late[queue_id] += state_name == LATE
        backlog.oldest.setdefault(queue_id, since)
    return backlog


def _due(now: datetime) -> QuerySet[FlowRun]:
    return FlowRun.objects.filter(state_type=Literal("SCHEDULED"), next_scheduled_start_time__lte=now)


def _held(queue_ids: Collection[UUID]) -> Mapping[UUID, int]:
    if not queue_ids:
        return {}
    held = FlowRun.objects.filter(is_holding(), work_queue_id__in=queue_ids)
    return dict(held.values_list("work_queue_id").annotate(Count("pk")).order_by())


def _queue_line(
    queue: WorkQueue, workers: Sequence[Worker], held: Mapping[UUID, int], backlog: _Backlog, now: datetime
) -> QueueLine:
    serving = serving_workers(queue, workers)
    taken = held.get(queue.pk, 0)
    return QueueLine(
        queue,
        status_of_queue(queue, serving, now),
        Meter(taken, queue.concurrency_limit),
        None if queue.filter else taken,
        None if queue.filter else Capped(backlog.waiting[queue.pk], capped=backlog.capped),
        backlog.late[queue.pk],
        backlog.oldest.get(queue.pk),
        serving,
    )


def _pool_line(
    pool: WorkPool,
    queues: Sequence[WorkQueue],
    lines: Mapping[UUID, QueueLine],
    workers: Sequence[Worker],
    held: Mapping[UUID, int],
    now: datetime,
) -> PoolLine:
    mine = [queue for queue in queues if queue.work_pool_id == pool.pk]
    is_served = any(worker.work_pool_id == pool.pk for worker in workers) or any(
        is_recent(queue.last_polled, now) for queue in mine
    )
    status: Status = "PAUSED" if pool.is_paused else "READY" if is_served else "NOT_READY"
    taken = sum(held.get(queue.pk, 0) for queue in mine)
    return PoolLine(pool, status, Meter(taken, pool.concurrency_limit), [lines[queue.pk] for queue in mine])


def serving_workers(queue: WorkQueue, workers: Sequence[Worker]) -> list[Worker]:
    """Return the live workers that take runs from this queue."""
    mine = [worker for worker in workers if worker.work_pool_id == queue.work_pool_id]
    return [worker for worker in mine if worker.serves_pool or str(queue.pk) in worker.queue_ids]


def status_of_queue(queue: WorkQueue, serving: Sequence[Worker], now: datetime) -> Status:
    if queue.is_paused:
        return "PAUSED"
    return "READY" if serving or is_recent(queue.last_polled, now) else "NOT_READY"


@dataclass(frozen=True, slots=True)
class QueuePage:
    """One queue, and the runs of the selected tab."""

    queue: WorkQueue
    status: Status
    meter: Meter
    waiting: Capped
    oldest: datetime | None
    serving: Sequence[Worker]
    page: Page[FlowRun]
    reasons: Mapping[str, str]
    blockers: Sequence[Reason]
    leases: Mapping[UUID, Lease]


def queue_with_pool(queue_id: UUID) -> WorkQueue | None:
    rows = WorkQueue.objects.select_related("work_pool").defer("work_pool__base_job_template")
    return rows.filter(pk=queue_id).first()


def queue_page(*, queue: WorkQueue, tab: str, after: Cursor | None, now: datetime) -> QueuePage:
    workers = live_workers([queue.work_pool_id], now)
    serving = serving_workers(queue, workers)
    mine = FlowRun.objects.filter(chosen_by(queue))
    due = mine.filter(state_type=Literal("SCHEDULED"), next_scheduled_start_time__lte=now)
    holding = mine.filter(is_holding())
    page = _runs_of_tab(tab, mine, due, holding, after, now)
    first = due.order_by("next_scheduled_start_time", "pk").first()
    leases = Lease.objects.select_related("worker").filter(pk__in=[run.pk for run in page.rows])
    return QueuePage(
        queue,
        status_of_queue(queue, serving, now),
        Meter(holding.count(), queue.concurrency_limit),
        capped_count(due),
        first.next_scheduled_start_time if first else None,
        serving,
        page,
        state_reasons(page.rows) if tab == "waiting" else {},
        list(queue_blockers(first, now)) if first and tab == "waiting" else [],
        {lease.flow_run_id: lease for lease in leases} if tab == "running" else {},
    )


def _runs_of_tab(
    tab: str,
    mine: QuerySet[FlowRun],
    due: QuerySet[FlowRun],
    holding: QuerySet[FlowRun],
    after: Cursor | None,
    now: datetime,
) -> Page[FlowRun]:
    match tab:
        case "running":
            rows, by = holding.filter(state_timestamp__isnull=False), "state_timestamp"
        case "upcoming":
            planned = Q(state_type=Literal("SCHEDULED"), next_scheduled_start_time__gt=now)
            rows, by = mine.filter(planned), "next_scheduled_start_time"
        case _:
            rows, by = due, "next_scheduled_start_time"
    only = rows_of_runs(rows).only(*_ROW, "flow__name") if by == "next_scheduled_start_time" else rows_of_runs(rows)
    return page_of(only, by=by, after=after, size=RUNS_PER_PAGE, newest_first=False)


_ROW = (
    "id",
    "name",
    "tags",
    "seq",
    "state_id",
    "state_type",
    "state_name",
    "state_timestamp",
    "next_scheduled_start_time",
    "expected_start_time",
    "start_time",
    "total_run_time",
    "refusal",
    "flow_id",
)
