"""Figures of the load from the database: queues, reasons for waiting, agents, services, problems, retention.

At most nine queries, whose cost does not grow with the number of stored runs: waiting runs are counted by partial
indexes, up to a cap, and all others by roll-ups. Labels are names of pools and queues, and fixed words.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from deployments.dispatch.selectors.liveness import online
from deployments.models import Worker, WorkPool, WorkQueue
from deployments.upkeep.current_settings import current
from deployments.upkeep.selectors.service_health import ServiceHealth, services_and_health
from orchestration.database_clock import database_now
from orchestration.sight import seeing
from orchestration.tables import dialect
from orionflow.contract.states import HOLDING, in_order
from runs.models import RollUp, RollUpChange
from runs.roll_ups.sql import DAY
from runs.why.selectors.queue_blockers import blockers_of_queue

# The queues that wait longest have lines of their own; all others share one.
MOST_QUEUES = 200
# Counting stops here, so that a scrape does not become slower as a queue grows.
MOST_COUNTED = 10_000
OTHERS = "(others)"
WITHOUT_QUEUE = "(none)"
# Reasons why due runs wait; with `starting`, an agent will claim them in a moment.
REASONS = (
    "no_agent",
    "agents_full",
    "queue_full",
    "queue_paused",
    "pool_full",
    "pool_paused",
    "no_queue",
    "other_queues",
    "starting",
)
# The statuses of problems that need attention.
PROBLEM_STATUSES = ("new", "regressed", "ongoing")


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """A queue: the number of its due runs (up to the cap), since when the first of them is due, and why they wait."""

    pool: str
    name: str
    depth: int
    oldest_wait: float
    holding: int
    limit: int | None
    reason: str
    text: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """The live agents of a work pool: how many runs they may execute at once, and how many they execute."""

    name: str
    agents: int
    places: int
    used: int
    # Workers of other clients do not report how many runs they may execute: their pool never counts as full.
    has_unknown_places: bool = False

    @property
    def is_full(self) -> bool:
        return self.agents > 0 and self.used >= self.places and not self.has_unknown_places


@dataclass(slots=True)
class DatabaseFigures:
    """All figures at one moment."""

    queues: list[QueueFigures] = field(default_factory=list)
    pools: list[PoolFigures] = field(default_factory=list)
    services: Sequence[ServiceHealth] = ()
    runs: dict[tuple[str, str], int] = field(default_factory=dict)
    problems: dict[str, int] = field(default_factory=dict)
    late: int = 0
    full_limits: int = 0
    limits: int = 0
    messages_waiting: int = 0
    events_waiting: int = 0
    oldest: dict[str, float] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    connections: int | None = None
    connections_limit: int | None = None
    megabytes: float | None = None
    # Seconds that the database took for the simplest of these queries, and for all of them.
    quickest_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def waiting_by_reason(self) -> dict[str, int]:
        # All reasons, so that an alert also sees when one no longer applies.
        waiting = dict.fromkeys(REASONS, 0)
        for queue in self.queues:
            waiting[queue.reason] += queue.depth
        return waiting


def database_figures() -> DatabaseFigures:
    """Read the figures, without restricting them to what the user sees."""
    with seeing(None):
        began = time.perf_counter()
        now = database_now()
        asked = time.perf_counter()
        found = DatabaseFigures(services=services_and_health(now=now))
        found.quickest_seconds = time.perf_counter() - asked
        workers = list(Worker.objects.filter(online(now)))
        holding = _holding()
        found.pools = list(_pools(workers, holding))
        found.queues = list(_queues(workers, holding, {one.name for one in found.pools if one.is_full}, now))
        found.runs = _runs()
        _add_single_figures(found, now)
        for kind in ("runs", "logs", "events"):
            found.kept[kind] = current(f"ORION_RETENTION_DAYS_{kind.upper()}")
        found.seconds = time.perf_counter() - began
    return found


def _holding() -> dict[UUID, tuple[UUID | None, int]]:
    """Return the number of runs that hold a slot of each queue, with the pool of the queue."""
    # In literals, as in the condition of the partial index flow_run_holding_queue.
    types = " OR ".join(f"state_type = '{one}'" for one in in_order(HOLDING))
    read = dialect().read_uuid
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT q.id, q.work_pool_id, COUNT(*) FROM (SELECT work_queue_id FROM runs_flowrun "
            f"WHERE work_queue_id IS NOT NULL AND ({types}) LIMIT {MOST_COUNTED}) held "
            "JOIN deployments_workqueue q ON q.id = held.work_queue_id GROUP BY q.id, q.work_pool_id"
        )
        return {read(one): (pool and read(pool), number) for one, pool, number in cursor.fetchall()}


def _queues(
    workers: Sequence[Worker],
    holding: Mapping[UUID, tuple[UUID | None, int]],
    full: Container[str],
    now: datetime,
) -> Iterator[QueueFigures]:
    taken: Counter[UUID] = Counter()
    for queue_id, (pool_id, number) in holding.items():
        taken[queue_id] += number
        if pool_id:
            taken[pool_id] += number
    rows = _due_by_queue(now)
    rows.sort(key=lambda row: (-row[1], row[0].name))
    for queue, depth, since in rows[:MOST_QUEUES]:
        reason = next(blockers_of_queue(queue, workers=workers, taken=taken, now=now), None) if depth else None
        pool = queue.work_pool.name if queue.work_pool else ""
        yield QueueFigures(
            pool,
            queue.name,
            depth,
            max((now - since).total_seconds(), 0.0) if since else 0.0,
            taken[queue.pk],
            queue.concurrency_limit,
            reason.code if reason else "agents_full" if pool in full else "starting",
            reason.text if reason else "",
            (reason.fix or "") if reason else "",
        )
    if others := rows[MOST_QUEUES:]:
        sinces = [since for _, _, since in others if since]
        wait = (now - min(sinces)).total_seconds() if sinces else 0.0
        yield QueueFigures(OTHERS, OTHERS, sum(depth for _, depth, _ in others), wait, 0, None, "other_queues")
    depth, since = _due_without_queue(now)
    wait = max((now - since).total_seconds(), 0.0) if since else 0.0
    yield QueueFigures(WITHOUT_QUEUE, WITHOUT_QUEUE, depth, wait, 0, None, "no_queue")


def _due_by_queue(now: datetime) -> list[tuple[WorkQueue, int, datetime | None]]:
    """Return every queue with its due runs and the time of the first one: one index range for each, up to the cap."""
    due = (
        "FROM runs_flowrun r WHERE r.work_queue_id = q.id AND r.state_type = 'SCHEDULED' "
        "AND r.next_scheduled_start_time <= %s"
    )
    db, moment = dialect(), dialect().moment(now)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT q.id, q.name, q.is_paused, q.concurrency_limit, q.last_polled, "
            "p.id, p.name, p.is_paused, p.concurrency_limit, "
            f"(SELECT COUNT(*) FROM (SELECT 1 {due} LIMIT {MOST_COUNTED}) counted), "
            f"(SELECT r.next_scheduled_start_time {due} ORDER BY r.next_scheduled_start_time LIMIT 1) "
            "FROM deployments_workqueue q LEFT JOIN deployments_workpool p ON p.id = q.work_pool_id",
            [moment, moment],
        )
        rows = cursor.fetchall()
    found = []
    for row in rows:
        pool = (
            WorkPool(id=db.read_uuid(row[5]), name=row[6], is_paused=bool(row[7]), concurrency_limit=row[8])
            if row[5]
            else None
        )
        queue = WorkQueue(
            id=db.read_uuid(row[0]),
            name=row[1],
            is_paused=bool(row[2]),
            concurrency_limit=row[3],
            last_polled=_moment(row[4]),
            work_pool=pool,
        )
        found.append((queue, int(row[9]), _moment(row[10])))
    return found


def _due_without_queue(now: datetime) -> tuple[int, datetime | None]:
    """Return due runs of deployments without a queue, which are served by a process of their own."""
    moment = dialect().moment(now)
    due = (
        "FROM runs_flowrun WHERE state_type = 'SCHEDULED' AND next_scheduled_start_time <= %s "
        "AND work_queue_id IS NULL AND deployment_id IS NOT NULL"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(*), MIN(next_scheduled_start_time) FROM "
            f"(SELECT next_scheduled_start_time {due} ORDER BY next_scheduled_start_time LIMIT {MOST_COUNTED}) counted",
            [moment],
        )
        number, since = cursor.fetchone()
    return number, _moment(since)


def _pools(workers: Sequence[Worker], holding: Mapping[UUID, tuple[UUID | None, int]]) -> Iterator[PoolFigures]:
    used: Counter[UUID | None] = Counter()
    for pool_id, number in holding.values():
        used[pool_id] += number
    agents, places = Counter[UUID](), Counter[UUID]()
    unknown = {worker.work_pool_id for worker in workers if worker.concurrency is None}
    for worker in workers:
        agents[worker.work_pool_id] += 1
        places[worker.work_pool_id] += worker.concurrency or 0
    for pool in WorkPool.objects.only("id", "name").order_by("name")[:MOST_QUEUES]:
        yield PoolFigures(pool.name, agents[pool.pk], places[pool.pk], used[pool.pk], pool.pk in unknown)


def _runs() -> dict[tuple[str, str], int]:
    """Return the number of runs by kind and type of state, from the roll-ups."""
    kinds = ("flow-run", "task-run")
    totals: Any = RollUp.objects.filter(subject__in=kinds, level=DAY).order_by().values_list("subject", "state_type")
    # What triggers have noted since the roll-ups were last added up.
    changes: Any = RollUpChange.objects.filter(kind__in=kinds).order_by().values_list("kind", "state_type")
    counted: Counter[tuple[str, str]] = Counter()
    for kind, state_type, number in totals.annotate(number=Sum("runs")).union(
        changes.annotate(number=Sum("runs")), all=True
    ):
        counted[kind, state_type] += int(number)
    return {key: max(number, 0) for key, number in counted.items() if key[1]}


def _add_single_figures(found: DatabaseFigures, now: datetime) -> None:
    """Add the figures that are single numbers, with one statement."""
    capped = "(SELECT COUNT(*) FROM (SELECT 1 FROM {} LIMIT {}) counted)"
    parts = [
        capped.format(
            "runs_flowrun WHERE state_type = 'SCHEDULED' AND next_scheduled_start_time <= %s AND state_name = 'Late'",
            MOST_COUNTED,
        ),
        "(SELECT COUNT(*) FROM deployments_concurrencylimit)",
        "(SELECT COUNT(*) FROM deployments_concurrencylimit l WHERE l.concurrency_limit <= "
        "(SELECT COUNT(*) FROM deployments_slot s WHERE s.limit_id = l.id))",
        capped.format("events_notification WHERE standing = 'WAITING'", MOST_COUNTED),
        capped.format("events_event WHERE pending", MOST_COUNTED),
        *(capped.format(f"runs_problem WHERE status = '{one}'", MOST_COUNTED) for one in PROBLEM_STATUSES),
        # Ids begin with their time. PostgreSQL 17 has no MIN of UUIDs.
        *(f"(SELECT id FROM {table} ORDER BY id LIMIT 1)" for table in ("runs_flowrun",)),
        "(SELECT MIN(timestamp) FROM runs_log)",
        "(SELECT MIN(received) FROM events_event)",
    ]
    if connection.vendor == "postgresql":
        parts += [
            "(SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend')",
            "current_setting('max_connections')::int",
            "pg_database_size(current_database())",
        ]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(parts)}", [dialect().moment(now)])
        row = list(cursor.fetchone())
    found.late, found.limits, found.full_limits, found.messages_waiting, found.events_waiting = row[:5]
    row = row[5:]
    for status in PROBLEM_STATUSES:
        found.problems[status] = row.pop(0)
    oldest = {"runs": _time_of(row.pop(0)), "logs": _moment(row.pop(0)), "events": _moment(row.pop(0))}
    found.oldest = {kind: max((now - at).total_seconds(), 0.0) for kind, at in oldest.items() if at}
    if row:
        found.connections, found.connections_limit, found.megabytes = row[0], row[1], row[2] / 1e6


def _time_of(value: Any) -> datetime | None:
    """Return when an id was made; None for other versions, and for invalid times."""
    if value is None:
        return None
    one = dialect().read_uuid(value)
    try:
        return datetime.fromtimestamp((one.int >> 80) / 1000, UTC) if one.version == 7 else None
    except ValueError:
        return None


def _moment(value: Any) -> datetime | None:
    """Return a time in the form in which the database returns expressions of unknown type."""
    if value is None:
        return None
    moment: datetime = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
