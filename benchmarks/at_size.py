"""Pages and reads of the API on many rows: how long each takes, and how many queries it makes.

python -m benchmarks.at_size                      100,000 flow runs with 200,000 task runs, on both databases
python -m benchmarks.at_size --copies 10          a million flow runs with two million task runs
python -m benchmarks.at_size --on sqlite --home DIR    keep the rows for further rounds

All runs have the tag `prod` or `test`, and a tenth of them one of a thousand rare ones; one flow of fifty has half of
all runs.
The requests go through Django's whole stack in this process, without sockets.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks.measuring import ORION, QUICK, ROOT, empty_home, environment, percentile, report
from benchmarks.postgresql import postgresql

BASE = 5_000 if QUICK else 100_000
FLOWS = 50
ROUNDS = 5
BATCH = 2_000
STATES = ("COMPLETED",) * 16 + ("FAILED",) * 2 + ("CRASHED", "CANCELLED")
MEASURED_DAYS = 30


def in_child(database: str, copies: int, home: Path | None, **more: str) -> None:
    """Django serves one database per process."""
    with empty_home() as empty:
        # The settings of whoever measures are left out, and this is none of them.
        env = environment(home or empty, **more) | ({"ORION_BENCH_QUICK": "1"} if QUICK else {})
        subprocess.run([ORION, "database", "upgrade"], env=env, check=True, capture_output=True)
        command = [sys.executable, "-m", "benchmarks.at_size", "--on", database, "--copies", str(copies), "--here"]
        subprocess.run(command, env=env, cwd=ROOT, check=True)


def measure(database: str, copies: int) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orion_site.settings")
    import django

    django.setup()
    from runs.models import FlowRun

    if not FlowRun.objects.exists():
        fill(copies)
    runs = FlowRun.objects.count()
    for name, ask in requests():
        seconds, queries = timed(ask)
        report(
            "at_size",
            who="orion",
            database=database,
            flow_runs=runs,
            request=name,
            p50_ms=round(percentile(seconds, 0.5) * 1000, 1),
            p95_ms=round(percentile(seconds, 0.95) * 1000, 1),
            queries=queries,
        )


def timed(ask: Callable[[], Any]) -> tuple[list[float], int]:
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
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - began)
    return seconds, queries


def requests() -> Iterator[tuple[str, Callable[[], Any]]]:
    from django.test import Client
    from django.utils import timezone

    from runs.models import Flow, FlowRun

    client = Client(headers={"host": "127.0.0.1"})
    run = FlowRun.objects.order_by("-expected_start_time").filter(state_type="FAILED")[0]
    flow = Flow.objects.order_by("name")[0]
    now = timezone.now()
    week = (now - timedelta(days=7)).isoformat()
    for path in (
        "/", "/runs", "/runs?state=failed", "/runs?tag=rare-7", "/runs?q=no-such-name", "/flows", f"/flows/{flow.id}",
        f"/runs/{run.id}", f"/runs/{run.id}?tab=logs", f"/runs/{run.id}?tab=tasks", "/status",
    ):  # fmt: skip
        yield (
            f"GET {path}".replace(str(run.id), "<id>").replace(str(flow.id), "<id>"),
            partial(client.get, path),
        )
    tags = {"flow_runs": {"tags": {"all_": ["rare-7"]}}}
    common = {"flow_runs": {"tags": {"all_": ["prod"]}}}
    failed = {"flow_runs": {"state": {"type": {"any_": ["FAILED"]}}, "start_time": {"after_": week}}}
    history = {
        "history_start": (now - timedelta(days=MEASURED_DAYS)).isoformat(),
        "history_end": now.isoformat(),
        "history_interval_seconds": 86_400,
    }
    for path, body in (
        ("flow_runs/filter", {}),
        ("flow_runs/filter", tags),
        ("flow_runs/filter", common),
        ("flow_runs/filter", failed),
        ("flow_runs/filter", {"offset": BASE // 2}),
        ("flow_runs/filter", {"flow_runs": {"name": {"like_": "no-such"}}}),
        ("flow_runs/filter", {"flows": {"name": {"any_": [flow.name]}}}),
        ("flow_runs/count", {}),
        ("flow_runs/count", tags),
        ("flow_runs/count", common),
        ("flow_runs/count", failed),
        ("flow_runs/history", history),
        ("task_runs/filter", {}),
        ("task_runs/count", {}),
        ("task_runs/history", history),
        ("logs/filter", {"logs": {"flow_run_id": {"any_": [str(run.id)]}}}),
        ("flows/filter", {}),
    ):
        said = json.dumps(body)[:60].replace(str(run.id), "<id>")
        yield (
            f"POST {path} {said}",
            partial(client.post, f"/api/{path}", json.dumps(body), content_type="application/json"),
        )


def fill(copies: int) -> None:
    """Write the rows of one day, and copy them into the days before by SQL."""
    from django.db import connection
    from django.utils import timezone

    now = timezone.now()
    fill_one_day(now)
    for copy in range(1, copies):
        for table in ("runs_flowrun", "runs_flowrunstate", "runs_taskrun", "runs_taskrunstate", "runs_log"):
            copy_day(table, copy)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def fill_one_day(now: datetime) -> None:
    from runs.models import Flow, FlowRun, FlowRunState, Log, TaskRun, TaskRunState

    flows = [Flow(name=f"flow-{number:03}") for number in range(FLOWS)]
    Flow.objects.bulk_create(flows)
    randomly = random.Random(1)
    for begin in range(0, BASE, BATCH):
        rows: dict[Any, list[Any]] = {FlowRun: [], FlowRunState: [], TaskRun: [], TaskRunState: [], Log: []}
        for number in range(begin, min(begin + BATCH, BASE)):
            at = now - timedelta(seconds=86_400 * (BASE - number) / BASE)
            flow = flows[0 if number % 2 else number % FLOWS]
            tags = ["prod" if number % 3 else "test", *([f"rare-{number // 100 % 1000}"] if number % 10 == 0 else [])]
            kind = randomly.choice(STATES)
            run = FlowRun(id=an_id(at, 4 * number), flow=flow, name=f"run-{number}", tags=tags, **columns(kind, at))
            add(rows, FlowRun, FlowRunState, "flow_run", run, 4 * number + 3)
            for task in (1, 2):
                one = TaskRun(
                    id=an_id(at, 4 * number + task), flow_run=run, task_key=f"etl.{task}", dynamic_key="0",
                    name=f"task-{task}", **columns(kind if task == 2 else "COMPLETED", at),
                )  # fmt: skip
                add(rows, TaskRun, TaskRunState, "task_run", one, 4 * number + task)
            line = {"name": "orion", "level": 20, "message": "x" * 80, "timestamp": at}
            rows[Log].append(Log(id=an_id(at, 4 * number + 3), flow_run_id=run.id, **line))
        for model, made in rows.items():
            model.objects.bulk_create(made, batch_size=500)


def columns(kind: str, at: datetime) -> dict[str, Any]:
    end = at + timedelta(seconds=20)
    return {
        "seq": 3, "state_type": kind, "state_name": kind.capitalize(), "state_timestamp": end, "run_count": 1,
        "expected_start_time": at, "start_time": at, "end_time": end, "total_run_time": timedelta(seconds=20),
    }  # fmt: skip


def add(rows: dict[Any, list[Any]], model: Any, states: Any, owner: str, run: Any, number: int) -> None:
    message = None if run.state_type == "COMPLETED" else "The flow raised KeyError: 'customer_id'"
    state = states(
        id=an_id(run.start_time, number), seq=3, type=run.state_type, name=run.state_name, message=message,
        timestamp=run.end_time, **{owner: run},
    )  # fmt: skip
    run.state_id = state.id
    rows[model].append(run)
    rows[states].append(state)


def an_id(at: datetime, number: int) -> UUID:
    """An id of version 7 whose twelve random bits after the version are left to the copies."""
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | number)


def copy_day(table: str, copy: int) -> None:
    """Copy the first day's rows to the day that is so many days before, under ids of their own."""
    from django.db import connection

    with connection.cursor() as cursor:
        described = connection.introspection.get_table_description(cursor, table)
        names = [column.name for column in described]
        values = ", ".join(copied(name, copy, connection.vendor) for name in names)
        first_day = own(connection.vendor)
        cursor.execute(f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} WHERE {first_day}")


def own(vendor: str) -> str:
    return "substr(id, 14, 3) = '000'" if vendor == "sqlite" else "substr(id::text, 16, 3) = '000'"


def copied(name: str, copy: int, vendor: str) -> str:
    if name in ("id", "state_id", "flow_run_id", "task_run_id"):
        if vendor == "sqlite":
            return f"substr({name}, 1, 13) || '{copy:03x}' || substr({name}, 17)"
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
    parser.add_argument("--home", type=Path, help="keep the database there, and take the rows that it has")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        measure(asked.on, asked.copies)
        raise SystemExit
    if asked.on in (None, "sqlite"):
        in_child("sqlite", asked.copies, asked.home)
    if asked.on in (None, "postgresql"):
        with postgresql() as url:
            in_child("postgresql", asked.copies, None, ORION_DATABASE_URL=url)
