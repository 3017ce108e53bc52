"""Questions across runs: what 2,000 failed runs have in common, unlike 8,000 others; and how a day's time was spent."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from random import Random
from statistics import median
from typing import Any

from benchmarks.measuring import QUICK, on_database, report
from benchmarks.postgresql import postgresql

RUNS = 2_000 if QUICK else 10_000
TASKS = 1_000
ROUNDS = 7


def measure(database: str) -> None:
    from orion_site.bootstrap import ephemeral_application

    ephemeral_application()
    from django.db import connection
    from django.utils import timezone

    from runs.comparing.selectors import comparison_of
    from runs.in_common.selectors import what_is_common
    from runs.time_spent.selectors.of_fleet import time_of_fleet
    from runs.time_spent.selectors.of_run import time_of_run

    now = timezone.now()
    failed, large = prepare(now)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    found: Any = what_is_common(run_ids=failed, since=None, now=now)
    figures = {
        "in_common_ms": timed(lambda: what_is_common(run_ids=failed, since=None, now=now)),
        "time_of_a_day_ms": timed(lambda: time_of_fleet(since=now - timedelta(days=1), now=now)),
        "time_of_a_run_ms": timed(lambda: time_of_run(run_id=large[1], now=now)),
        "diff_ms": timed(lambda: comparison_of(before_id=large[0], after_id=large[1])),
    }
    report(
        "comparing", who="orion", database=database, runs=RUNS, tasks_of_a_run=TASKS, tested=found.found.tested,
        findings=[one.name for one in found.found.findings], **figures,
    )  # fmt: skip


def timed(ask: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        ask()
        times.append(1000 * (time.perf_counter() - started))
    return round(median(times), 1)


def prepare(now: datetime) -> tuple[list[Any], list[Any]]:
    from deployments.models import Deployment
    from runs.models import Flow, FlowRun, FlowRunState, TaskRun

    chance = Random(1)
    flow = Flow.objects.create(name="etl")
    deployment = Deployment.objects.create(flow=flow, name="daily")
    runs: list[Any] = []
    states: list[Any] = []
    failed: list[Any] = []
    for number in range(RUNS):
        run, agent = some_run(chance, flow, deployment, now - timedelta(seconds=8 * number + 60))
        runs.append(run)
        states += states_of(FlowRunState, run, agent)
        if run.state_type == "FAILED":
            failed.append(run.pk)
    large = [run.pk for run in runs if run.state_type == "COMPLETED"][:2]
    FlowRun.objects.bulk_create(runs, batch_size=500)
    FlowRunState.objects.bulk_create(states, batch_size=500)
    for run_id in large:
        TaskRun.objects.bulk_create(tasks_of(TaskRun, run_id, now), batch_size=500)
    return failed, large[::-1]


def some_run(chance: Random, flow: Any, deployment: Any, due: datetime) -> tuple[Any, str]:
    from runs.models import FlowRun

    agent, start = f"w{chance.randint(1, 9)}", due + timedelta(seconds=chance.random())
    bad = agent == "w3" or chance.random() < 0.1
    return FlowRun(
        flow=flow, name="brave-otter", deployment_id=deployment.pk, deployment_version="7", flow_version="1.8",
        parameters={"region": chance.choice(["eu", "us"]), "rows": chance.randint(0, 5000), "options": {"fast": True}},
        tags=[tag for tag in ("prod", "eu", "beta") if chance.random() < 0.4], run_count=1, seq=4,
        state_type="FAILED" if bad else "COMPLETED", state_name="Failed" if bad else "Completed",
        expected_start_time=due, start_time=start, end_time=start + timedelta(seconds=5), state_timestamp=start,
        total_run_time=timedelta(seconds=5), work_queue_name=chance.choice(["default", "big"]),
        created_by={"type": "SCHEDULE", "display_value": "daily"},
    ), agent  # fmt: skip


def states_of(rows: Any, run: Any, agent: str) -> Iterator[Any]:
    due = run.expected_start_time
    yield rows(flow_run=run, seq=1, type="SCHEDULED", name="Scheduled", timestamp=due - timedelta(hours=1),
               details={"scheduled_time": due.isoformat()})  # fmt: skip
    yield rows(flow_run=run, seq=2, type="PENDING", name="Pending", timestamp=run.start_time, author=f"agent {agent}")
    yield rows(flow_run=run, seq=3, type="RUNNING", name="Running", timestamp=run.start_time)
    yield rows(flow_run=run, seq=4, type=run.state_type, name=run.state_name, timestamp=run.end_time)


def tasks_of(rows: Any, run_id: Any, now: datetime) -> Iterator[Any]:
    for number in range(TASKS):
        begin = now + timedelta(milliseconds=5 * number)
        yield rows(
            flow_run_id=run_id, task_key="load", dynamic_key=str(number), name=f"load-{number}", run_count=1,
            state_type="COMPLETED", state_name="Completed", expected_start_time=begin, start_time=begin,
            end_time=begin + timedelta(milliseconds=50), total_run_time=timedelta(milliseconds=50),
        )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--on", choices=["sqlite", "postgresql"])
    asked = parser.parse_args()
    if asked.on:
        measure(asked.on)
    else:
        on_database("benchmarks.comparing", "sqlite")
        with postgresql() as url:
            on_database("benchmarks.comparing", "postgresql", ORION_DATABASE_URL=url)
