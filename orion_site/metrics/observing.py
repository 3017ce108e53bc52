"""Observe the installation for `bottlenecks.judged`: the figures of the database, this process, and the disk."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import timedelta

from django.db import connection

from deployments.upkeep.services.partitions import DIVISIBLE, parts_of
from orchestration.database_clock import current_time
from orion_site.database import replica
from orion_site.database.sqlite.gate import gates
from orion_site.database.upkeep import estimated_rows
from orion_site.env import orion_home
from orion_site.http.thread_pools import pools
from orion_site.metrics import siblings
from orion_site.metrics.bottlenecks import Observed, PoolOfConnections, PoolOfThreads
from orion_site.metrics.database import DatabaseFigures
from orion_site.metrics.process import pool_stats
from orion_site.metrics.recent import recent_claims, recently
from orion_site.services.disks import disks
from orionflow.contract.ids import first_id_at

SYNCS = 5
LARGE = 10_000
# SQLite's statistics are renewed every hour, and smaller tables need none.
LARGE_ON_SQLITE = 100_000
LARGE_TABLES = ("runs_flowrun", "runs_taskrun", "runs_taskrunstate", "runs_log", "events_event")


def observed(found: DatabaseFigures) -> Observed:
    """Return what can slow the installation down, as it is now, from these figures of the database."""
    return Observed(
        database=found,
        vendor=connection.vendor,
        lately=recently(),
        claims=recent_claims(),
        silent=siblings.siblings.silent(),
        threads=[PoolOfThreads(one.name, one.admitted, one.limit, one.refused) for one in pools],
        connections=[
            PoolOfConnections(alias, one.get("pool_size", 0), one.get("pool_max", 0), one.get("requests_waiting", 0))
            for alias, one in pool_stats().items()
        ],
        writers_waiting=sum(one.waiting for one in gates()),
        sync_seconds=sync_seconds() if connection.vendor == "sqlite" else 0.0,
        home=str(orion_home()),
        full_disks=[str(one.path) for one in disks() if one.is_nearly_full],
        unknown_tables=unknown_tables(),
        parts_missing=parts_missing(),
        replica=(replica.watch.read().instead or "") if replica.is_configured() else "",
    )


def sync_seconds() -> float:
    """Return how long the disk of ORION_HOME takes to sync a few bytes: the median of five measurements."""
    took = []
    with tempfile.NamedTemporaryFile(dir=orion_home(), prefix=".sync-") as file:
        for _ in range(SYNCS):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return sorted(took)[SYNCS // 2]


def unknown_tables() -> list[str]:
    """Return large tables without planner statistics."""
    if connection.vendor == "sqlite":
        return [table for table in LARGE_TABLES if _is_unknown_to_sqlite(table)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_stat_user_tables WHERE n_live_tup > %s AND last_analyze IS NULL "
            "AND last_autoanalyze IS NULL ORDER BY n_live_tup DESC LIMIT 3",
            [LARGE],
        )
        return [row[0] for row in cursor.fetchall()]


def _is_unknown_to_sqlite(table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM sqlite_stat1 WHERE tbl = %s", [table])
        is_analyzed = bool(cursor.fetchone()[0])
        return not is_analyzed and estimated_rows(cursor, table) > LARGE_ON_SQLITE


def parts_missing() -> list[str]:
    """Return partitioned tables without a partition for tomorrow."""
    if connection.vendor != "postgresql":
        return []
    tomorrow = first_id_at(current_time() + timedelta(days=1))
    ahead = {table: part for table in DIVISIBLE for part in parts_of(table) if part.name == f"{table}_ahead"}
    return [table for table, part in ahead.items() if part.begin is not None and part.begin <= tomorrow]
