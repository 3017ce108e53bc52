"""Pages and reads of the API with many rows: the time and the number of queries of each.

python -m benchmarks.at_size                      100,000 flow runs with 200,000 task runs, on both databases
python -m benchmarks.at_size --copies 10          a million flow runs with two million task runs
python -m benchmarks.at_size --copies 10 --tasks 5    ... with five million task runs
python -m benchmarks.at_size --on sqlite --home DIR    keep the rows for later rounds
python -m benchmarks.at_size --on postgresql --url URL    the same on an existing database

All flow runs have the tag `prod` or `test`, and a tenth of them also one of a thousand rare tags; their task runs have
the same tags. One of fifty flows has half of all runs, and its deployment half of these. Requests pass through all of
Django in this process, without sockets.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks.at_size_questions import DEPLOYMENT, questions
from benchmarks.measuring import ORION, QUICK, ROOT, empty_home, environment, percentile, report
from benchmarks.postgresql import postgresql

BASE = 5_000 if QUICK else 100_000
FLOWS = 50
ROUNDS = 5
# Seconds after which a question is not repeated.
LONGEST = 3.0
BATCH = 2_000
# Questions that exceed these are listed in addition, by processor time, because other programs may use the machine.
MOST_SECONDS, MOST_QUERIES = 0.1, 12
STATES = ("COMPLETED",) * 16 + ("FAILED",) * 2 + ("CRASHED", "CANCELLED")
QUEUE = UUID(int=0x7002 << 64 | 2 << 62)


def in_child(database: str, copies: int, tasks: int, home: Path | None, **more: str) -> None:
    """Run in a child process, because Django uses one database per process."""
    with empty_home() as empty:
        # `environment` leaves out the caller's settings, so this one is added.
        env = environment(home or empty, **more) | ({"ORION_BENCH_QUICK": "1"} if QUICK else {})
        subprocess.run([ORION, "database", "upgrade"], env=env, check=True, capture_output=True)
        command = [sys.executable, "-m", "benchmarks.at_size", "--on", database, "--here"]
        command += ["--copies", str(copies), "--tasks", str(tasks)]
        subprocess.run(command, env=env, cwd=ROOT, check=True)


def measure(database: str, copies: int, tasks: int) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orion_site.settings")
    import django

    django.setup()
    from runs.models import FlowRun

    if not FlowRun.objects.exists():
        fill(copies, tasks)
    runs = FlowRun.objects.count()
    for name, ask in requests():
        seconds, cpu, queries = timed(ask)
        busy = percentile(cpu, 0.5)
        if busy > MOST_SECONDS or queries > MOST_QUERIES:
            print(f"{busy * 1000:8.0f} ms {queries:4} queries  {name}", file=sys.stderr, flush=True)
        report(
            "at_size",
            who="orion",
            database=database,
            flow_runs=runs,
            request=name,
            p50_ms=round(percentile(seconds, 0.5) * 1000, 1),
            p95_ms=round(percentile(seconds, 0.95) * 1000, 1),
            cpu_ms=round(percentile(cpu, 0.5) * 1000, 1),
            queries=queries,
        )


def timed(ask: Callable[[], Any]) -> tuple[list[float], list[float], int]:
    """Return how long the call takes, its processor time including the database's, and the number of queries."""
    from django.db import connection

    queries = 0

    def count(execute: Callable[..., Any], *asked: Any) -> Any:
        nonlocal queries
        queries += 1
        return execute(*asked)

    with connection.execute_wrapper(count):
        answer = ask()
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.request['PATH_INFO']}: {answer.status_code} {answer.content[:300]!r}")
    seconds: list[float] = []
    cpu: list[float] = []
    while len(seconds) < ROUNDS and sum(seconds) < LONGEST:
        began, worked = time.perf_counter(), processor_seconds()
        ask()
        seconds.append(time.perf_counter() - began)
        cpu.append(processor_seconds() - worked)
    return seconds, cpu, queries


def processor_seconds() -> float:
    """Return the processor seconds of this process, which includes SQLite, or also of its PostgreSQL backend."""
    from django.db import connection

    if connection.vendor == "sqlite":
        return time.process_time()
    connection.ensure_connection()
    served_by = Path(f"/proc/{connection.connection.info.backend_pid}/schedstat")
    return time.process_time() + int(served_by.read_text().split()[0]) / 1e9


def requests() -> Iterator[tuple[str, Callable[[], Any]]]:
    from django.test import Client
    from django.utils import timezone

    from orion_site.http.peers import OWN_USER
    from runs.models import Flow, FlowRun, TaskRun

    # Marks the connection as that of the Unix user who runs the server, as the server does.
    proof: dict[str, Any] = {OWN_USER: True}
    client = Client(headers={"host": "127.0.0.1"}, **proof)
    run = FlowRun.objects.order_by("-expected_start_time").filter(state_type="FAILED")[0]
    task = TaskRun.objects.order_by("-expected_start_time").filter(state_type="FAILED")[0]
    flow = Flow.objects.order_by("name")[0]
    now = timezone.now()
    week = (now - timedelta(days=7)).isoformat()
    # A page of the admin, which has 50 rows per page.
    page = min(200, FlowRun.objects.count() // 50)
    before = FlowRun.objects.filter(flow_id=run.flow_id, state_type="COMPLETED").order_by("-expected_start_time")[0]
    for path in (
        "/", "/?tag=rare-7", "/?tag=prod&since=-7d", "/runs", "/runs?state=failed",
        "/runs?state=failed,crashed&since=-7d",
        "/runs?state=late", "/runs?tag=rare-7", "/runs?tag=prod", "/runs?tag=prod&state=failed", "/runs?tag=nowhere",
        "/runs?q=no-such-name", "/runs?q=dur>1h", "/runs?q=-tag:prod+-tag:test", f"/runs?flow={flow.name}",
        f"/runs?deployment={DEPLOYMENT}", "/flows", f"/flows/{flow.id}", f"/runs/{run.id}", f"/runs/{run.id}?tab=logs",
        f"/runs/{run.id}?tab=tasks", f"/runs/{before.id}..{run.id}", "/problems", "/time",
        "/runs/common?state=failed", "/task-runs", "/task-runs?state=failed", "/bulk", "/audit", "/deployments",
        f"/deployments/{DEPLOYMENT}", "/schedule", "/work", f"/work/queues/{QUEUE}",
        "/agents", "/limits", "/events", "/status",
        "/search?q=flow", "/search?q=no-such-name", "/artifacts", "/automations", "/notifications", "/blocks",
        "/variables", "/settings", "/calendars", f"/task-runs/{task.id}", f"/runs/{run.id}?tab=graph",
        "/admin/", "/admin/runs/flowrun/", "/admin/runs/flowrun/?q=no-such-name", f"/admin/runs/flowrun/?q={run.id}",
        "/admin/runs/flowrun/?state_type__exact=CRASHED", f"/admin/runs/flowrun/?expected_start_time__gte={week[:10]}",
        f"/admin/runs/flowrun/?p={page}", "/admin/runs/taskrun/?state_type__exact=CRASHED&q=no-such-name",
        f"/admin/runs/flowrunstate/?q={run.id}", "/admin/runs/taskrunstate/?type__exact=CANCELLED&verdict=REJECT",
        f"/admin/runs/log/?q={run.id}", f"/admin/runs/log/?timestamp__gte={week[:10]}",
    ):  # fmt: skip
        yield (
            re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", f"GET {path}"),
            partial(client.get, path),
        )
    for name, path, body in questions(now, run, flow):
        yield name, partial(client.post, f"/api/{path}", json.dumps(body), content_type="application/json")


def fill(copies: int, tasks: int) -> None:
    """Write the rows of one day, and copy them to the days before with SQL."""
    from django.db import connection
    from django.utils import timezone

    now = timezone.now()
    if connection.vendor == "postgresql":
        # Creating the rows of a batch takes seconds between two statements.
        with connection.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = 0")
            cursor.execute("SET statement_timeout = 0")
    fill_one_day(now, tasks)
    for copy in range(1, copies):
        for table in ("runs_flowrun", "runs_flowrunstate", "runs_taskrun", "runs_taskrunstate", "runs_log"):
            copy_day(table, copy)
        add_up_roll_ups()
    add_up_roll_ups()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def add_up_roll_ups() -> None:
    """Add up the roll-ups, as the service of a server does every other second."""
    from django.utils import timezone

    from runs.roll_ups.services import add_up

    while add_up(timezone.now()):
        pass


def fill_one_day(now: datetime, tasks: int) -> None:
    from deployments.models import Deployment, WorkPool, WorkQueue
    from runs.models import Flow, FlowRun, FlowRunState, Log, TaskRun, TaskRunState

    flows = [Flow(name=f"flow-{number:03}") for number in range(FLOWS)]
    Flow.objects.bulk_create(flows)
    queue = WorkQueue.objects.create(id=QUEUE, name="default", work_pool=WorkPool.objects.create(name="pool"))
    Deployment.objects.create(id=DEPLOYMENT, name="daily", flow=flows[0], work_queue=queue, work_queue_name="default")
    deployed = {"deployment_id": DEPLOYMENT, "work_queue_id": QUEUE, "work_queue_name": "default"}
    randomly = random.Random(1)
    for begin in range(0, BASE, BATCH):
        rows: dict[Any, list[Any]] = {FlowRun: [], FlowRunState: [], TaskRun: [], TaskRunState: [], Log: []}
        for number in range(begin, min(begin + BATCH, BASE)):
            at = now - timedelta(seconds=86_400 * (BASE - number) / BASE)
            flow = flows[0 if number % 2 else number % FLOWS]
            tags = ["prod" if number % 3 else "test", *([f"rare-{number // 100 % 1000}"] if number % 10 == 0 else [])]
            kind = randomly.choice(STATES)
            run = FlowRun(
                id=an_id(at, 8 * number), flow=flow, name=f"run-{number}", tags=tags, **columns(kind, at),
                **(deployed if number % 4 == 1 else {}),
            )  # fmt: skip
            add(rows, FlowRun, FlowRunState, "flow_run", run, 8 * number + 7)
            for task in range(1, tasks + 1):
                one = TaskRun(
                    id=an_id(at, 8 * number + task), flow_run=run, task_key=f"etl.{task}", dynamic_key="0",
                    name=f"task-{task}", tags=tags if number % 10 == 0 else [],
                    **columns(kind if task == tasks else "COMPLETED", at),
                )  # fmt: skip
                add(rows, TaskRun, TaskRunState, "task_run", one, 8 * number + task)
            line = {"name": "orion", "level": 20, "message": "x" * 80, "timestamp": at}
            rows[Log].append(Log(id=an_id(at, 8 * number + 7), flow_run_id=run.id, **line))
        for model, made in rows.items():
            model.objects.bulk_create(made, batch_size=500)


def columns(kind: str, at: datetime) -> dict[str, Any]:
    end = at + timedelta(seconds=20)
    return {
        "seq": 1, "state_type": kind, "state_name": kind.capitalize(), "state_timestamp": end, "run_count": 1,
        "expected_start_time": at, "start_time": at, "end_time": end, "total_run_time": timedelta(seconds=20),
    }  # fmt: skip


def add(rows: dict[Any, list[Any]], model: Any, states: Any, owner: str, run: Any, number: int) -> None:
    message = None if run.state_type == "COMPLETED" else "The flow raised KeyError: 'customer_id'"
    state = states(
        id=an_id(run.start_time, number), seq=1, type=run.state_type, name=run.state_name, message=message,
        timestamp=run.end_time, **{owner: run},
    )  # fmt: skip
    run.state_id = state.id
    rows[model].append(run)
    rows[states].append(state)


def an_id(at: datetime, number: int) -> UUID:
    """Return an id of version 7 whose twelve bits after the version are left for the copies."""
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | number)


def copy_day(table: str, copy: int) -> None:
    """Copy the rows of the first day to an earlier day, with new ids."""
    from django.db import connection

    with connection.cursor() as cursor:
        described = connection.introspection.get_table_description(cursor, table)
        names = [column.name for column in described]
        values = ", ".join(copied(name, copy, connection.vendor) for name in names)
        first_day = own(connection.vendor)
        cursor.execute(f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} WHERE {first_day}")


def own(vendor: str) -> str:
    return "substr(id, 7, 2) = X'7000'" if vendor == "sqlite" else "substr(id::text, 16, 3) = '000'"


def copied(name: str, copy: int, vendor: str) -> str:
    if name in ("id", "state_id", "flow_run_id", "task_run_id"):
        if vendor == "sqlite":
            return f"CAST(substr({name}, 1, 6) || X'7{copy:03x}' || substr({name}, 9) AS BLOB)"
        return f"(substr({name}::text, 1, 15) || '{copy:03x}' || substr({name}::text, 19))::uuid"
    if name in ("created", "updated", "timestamp", "state_timestamp", "expected_start_time", "start_time", "end_time"):
        if vendor == "sqlite":
            return f"strftime('%Y-%m-%d %H:%M:%f000', {name}, '-{copy} days')"
        return f"{name} - interval '{copy} days'"
    return name


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--on", choices=["sqlite", "postgresql"])
    parser.add_argument("--copies", type=int, default=1, help="days of 100,000 flow runs")
    parser.add_argument("--tasks", type=int, default=2, choices=range(1, 7), help="task runs of each flow run")
    parser.add_argument("--home", type=Path, help="keep the database there, and take the rows that it has")
    parser.add_argument("--url", help="a PostgreSQL of your own, which keeps the rows")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        measure(asked.on, asked.copies, asked.tasks)
        raise SystemExit
    if asked.on in (None, "sqlite"):
        in_child("sqlite", asked.copies, asked.tasks, asked.home)
    if asked.on in (None, "postgresql"):
        with contextlib.nullcontext(asked.url) if asked.url else postgresql() as url:
            in_child("postgresql", asked.copies, asked.tasks, None, ORION_DATABASE_URL=url)
