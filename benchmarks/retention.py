"""The cost of old rows: dropping a day, deleting and archiving runs, and transitions with many stored rows.

python -m benchmarks.retention                       everything at its usual size
python -m benchmarks.retention --part days           on PostgreSQL: a day of logs dropped, and deleted row by row
python -m benchmarks.retention --part transitions    processor time of a transition, with more and more task runs
python -m benchmarks.retention --part runs           100,000 flow runs deleted: total time, and the longest transaction
python -m benchmarks.retention --part archive        flow runs moved to the archive: bytes and time for each task run

Older rows are copied with SQL, as in `at_size`. Times are processor time, including that of the database.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks import at_size
from benchmarks.at_size import add_up_roll_ups, copy_day, fill_one_day, processor_seconds
from benchmarks.batch import items
from benchmarks.measuring import QUICK, on_database, report
from benchmarks.postgresql import postgresql
from orionflow.contract.ids import uuid7

DAY = timedelta(days=1)
LINES = (10_000, 50_000) if QUICK else (100_000, 1_000_000, 5_000_000)
MOST_DELETED = 1_000_000
# Flow runs per day, task runs of each, and days: 20,000 task runs a day.
RUNS_A_DAY, TASKS, COPIES = (500, 4, (1, 3)) if QUICK else (5_000, 4, (1, 5, 20))
ROUNDS, TASKS_AT_ONCE = 15, 100
DELETED = 2_000 if QUICK else 100_000
# The number of flow runs with 200 task runs each.
ARCHIVED = 10 if QUICK else 100
TABLES = ("runs_flowrun", "runs_flowrunstate", "runs_taskrun", "runs_taskrunstate", "runs_log")
# Seconds of the longest transaction that was measured.
longest = 0.0


def measured(work: Callable[[], Any]) -> tuple[float, float]:
    """Return how long it takes, and the processor time."""
    began, worked = time.perf_counter(), processor_seconds()
    work()
    return time.perf_counter() - began, processor_seconds() - worked


# --- days of logs on PostgreSQL --------------------------------------------------------------------------------------


def days() -> None:
    from deployments.upkeep.selectors.old_rows import Ages
    from deployments.upkeep.services.partitions import divide, make_days_ahead
    from deployments.upkeep.services.retention import purge, retain

    now = datetime.now(UTC)
    ages = Ages(logs=30 * DAY)
    for lines in LINES:
        if lines <= MOST_DELETED:
            write_lines(now - 40 * DAY, lines)
            seconds, cpu = measured(lambda: purge(ages=ages, now=now, pause_seconds=0))
            report_days("deleted row by row", lines, seconds, cpu)
    divide("runs_log", now=now - 42 * DAY)
    make_days_ahead(now)
    for number, lines in enumerate(LINES):
        write_lines(now - (40 - number) * DAY, lines)
        at = now - (40 - number) * DAY + 31 * DAY
        # Delete empty days before it first, so that they are not measured.
        retain(ages=ages, now=at - DAY)
        seconds, cpu = measured(lambda at=at: retain(ages=ages, now=at))  # type: ignore[misc]
        report_days("dropped as a day", lines, seconds, cpu)


def report_days(way: str, lines: int, seconds: float, cpu: float) -> None:
    report("retention", part="days", way=way, lines=lines, ms=round(seconds * 1000, 1), cpu_ms=round(cpu * 1000, 1))


def write_lines(at: datetime, lines: int) -> None:
    """Write log lines of one day, with the usual length."""
    from django.db import connection

    begin = at.replace(hour=0, minute=0, second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(
            "INSERT INTO runs_log (id, created, name, level, message, timestamp, flow_run_id) SELECT "
            "(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) "
            "|| '8' || substr(md5(n::text), 4, 15))::uuid, at, 'orion.flow_runs', 20, repeat('x', 80), at, "
            "md5((n / 100)::text)::uuid FROM (SELECT n, %s + n * interval '23 hours' / %s AS at "
            "FROM generate_series(1, %s) n) lines",
            [begin, lines, lines],
        )
        cursor.execute("ANALYZE runs_log")


# --- transitions with many stored rows ------------------------------------------------------------------------------


def transitions(is_divided: bool) -> None:
    from django.db import connection
    from django.utils import timezone

    from deployments.upkeep.services.partitions import divide, undivided

    now = timezone.now()
    if is_divided:
        for table in undivided():
            divide(table, now=now - 3 * DAY)
    fill_one_day(now, TASKS)
    there = 1
    for copies in COPIES:
        for copy in range(there, copies):
            for table in TABLES:
                copy_day(table, copy)
            add_up_roll_ups()
        there = copies
        add_up_roll_ups()
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        report(
            "retention",
            part="transitions",
            database=connection.vendor,
            divided=is_divided,
            task_runs=RUNS_A_DAY * TASKS * copies,
            cpu_us_each=round(cpu_of_a_transition() * 1e6, 1),
        )


def cpu_of_a_transition() -> float:
    """Return the median of several batches, because one batch in ten waits for the disk."""
    each = []
    api = Api()
    run = api.new_run()
    for _ in range(ROUNDS):
        _, cpu = measured(lambda: api.report_tasks(run, TASKS_AT_ONCE))
        each.append(cpu / (3 * TASKS_AT_ONCE))
    return sorted(each)[len(each) // 2]


class Api:
    """The API in this process, used like a program that runs tasks."""

    def __init__(self) -> None:
        from django.test import Client

        from orion_site.http.peers import OWN_USER

        proof: dict[str, Any] = {OWN_USER: True}
        self._client = Client(headers={"host": "127.0.0.1"}, **proof)
        self._flow = self.post("flows/", {"name": "batch"})["id"]

    def post(self, path: str, body: Any) -> Any:
        answer = self._client.post(f"/api/{path}", json.dumps(body), content_type="application/json")
        if answer.status_code >= 300:
            raise RuntimeError(f"{path}: {answer.status_code} {answer.content[:300]!r}")
        return answer.json() if answer.content else None

    def new_run(self) -> uuid.UUID:
        return uuid.UUID(self.post("flow_runs/", {"flow_id": self._flow, "state": {"type": "RUNNING"}})["id"])

    def report_tasks(self, run: uuid.UUID, tasks: int) -> None:
        """Report three states of each task, with ids like those of the SDK."""
        body = {"sent_at": datetime.now(UTC).isoformat(), "items": items(run, tasks, uuid7)}
        self.post("task_runs/transitions", body)

    def complete(self, run: uuid.UUID) -> None:
        self.post(f"flow_runs/{run}/set_state", {"state": {"type": "COMPLETED"}})


# --- runs deleted, and archived --------------------------------------------------------------------------------------


def runs() -> None:
    from django.db import connection
    from django.utils import timezone

    from deployments.upkeep.selectors.old_rows import Ages
    from deployments.upkeep.services import retention
    from orchestration.transactions import write_transaction

    now = timezone.now()
    at_size.BASE = DELETED
    fill_one_day(now - 10 * DAY, 2)
    retention.write_transaction = timed(write_transaction)  # type: ignore[attr-defined]
    ages = Ages(runs=5 * DAY)
    seconds, cpu = measured(lambda: retention.purge(ages=ages, now=now))
    report(
        "retention",
        part="runs",
        database=connection.vendor,
        flow_runs=DELETED,
        seconds=round(seconds, 1),
        cpu_s=round(cpu, 1),
        cpu_us_each=round(cpu / DELETED * 1e6),
        longest_transaction_ms=round(longest * 1000),
    )


def timed(transaction: Callable[[], Any]) -> Callable[[], Any]:
    @contextlib.contextmanager
    def timing() -> Iterator[None]:
        global longest
        # Waiting for other transactions is not counted.
        with transaction():
            began = time.perf_counter()
            yield
        longest = max(longest, time.perf_counter() - began)

    return timing


def archive() -> None:
    from django.conf import settings
    from django.db import connection
    from django.utils import timezone

    from deployments.archive.services import archive_runs

    now = timezone.now() + 10 * DAY
    api = Api()
    for _ in range(ARCHIVED):
        run = api.new_run()
        for _ in range(2):
            api.report_tasks(run, TASKS_AT_ONCE)
        api.complete(run)
    with tempfile.TemporaryDirectory() as folder:
        settings.ORION_ARCHIVE_PATH = folder
        began, worked = time.perf_counter(), processor_seconds()
        done = archive_runs(older_than=5 * DAY, now=now)
        cpu = processor_seconds() - worked
        from deployments.archive.place import place

        of = dict.fromkeys(("flow_runs", "task_runs", "task_run_states", "logs"), 0)
        for batch in place().batches():
            for name in of:
                of[name] += batch.files[name].bytes
    report(
        "retention",
        part="archive",
        database=connection.vendor,
        flow_runs=done.flow_runs,
        task_runs=done.task_runs,
        bytes_of_a_task_run=round((of["task_runs"] + of["task_run_states"]) / done.task_runs, 1),
        bytes_all_in=round(done.bytes / done.task_runs, 1),
        cpu_us_of_a_task_run=round(cpu / done.task_runs * 1e6, 1),
        seconds=round(time.perf_counter() - began, 1),
    )


PARTS: dict[str, Callable[[], None]] = {
    "days": days,
    "transitions": lambda: transitions(False),
    "transitions-divided": lambda: transitions(True),
    "runs": runs,
    "archive": archive,
}


QUICKLY = {"ORION_BENCH_QUICK": "1"} if QUICK else {}


def in_child(part: str, database: str) -> None:
    if database == "sqlite":
        on_database("benchmarks.retention", database, "--part", part, **QUICKLY)
        return
    with postgresql() as url:
        on_database("benchmarks.retention", database, "--part", part, ORION_DATABASE_URL=url, **QUICKLY)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--part", choices=[*PARTS])
    parser.add_argument("--database", choices=["sqlite", "postgresql"])
    parser.add_argument("--on", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.on:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orion_site.settings")
        import django

        django.setup()
        at_size.BASE = RUNS_A_DAY
        PARTS[asked.part]()
        sys.exit()
    for part in [asked.part] if asked.part else PARTS:
        only_postgresql = part in ("days", "transitions-divided")
        for database in [asked.database] if asked.database else ["sqlite", "postgresql"]:
            if database == "postgresql" or not only_postgresql:
                in_child(part, database)
