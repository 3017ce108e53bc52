"""The cost of the services while nothing is due: the same with a hundred finished runs and with twenty thousand.

Counted are the steps of SQLite's machine, and the rows that PostgreSQL touches for the statements of a tick.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from deployments.models import Deadline, Deployment, Schedule, WorkQueue
from deployments.upkeep.selectors import old_rows
from events.models import Event
from orion_site.services.registry import services_of_this_server
from orionflow.contract.ids import uuid7
from runs.models import Artifact, CacheEntry, Flow, FlowRun, FlowRunState, Log, TaskRun, TaskRunState
from tests.rounds import THOROUGH
from tests.services.dispatching import make_agent, make_deployment, make_queue, waiting

NOW = timezone.now()
FEW, MANY = 300, 10_000 if THOROUGH else 1_500
FINAL = ["COMPLETED", "FAILED", "CANCELLED", "CRASHED"]


def make_limited_deployment() -> None:
    """A deployment, its queue and its schedule with limits of their own, and an agent that waits for its runs."""
    queue = make_queue("q", concurrency_limit=2)
    deployment = make_deployment(queue, concurrency_limit=2)
    make_agent(queues=("q",), now=NOW, concurrency=3)
    definition = {"interval": 86400.0, "anchor_date": "2000-01-01T00:00:00+00:00", "timezone": "UTC"}
    Schedule.objects.create(deployment=deployment, definition=definition, max_active_runs=0)
    waiting(queue, at=NOW + timedelta(days=1), deployment=deployment)


def make_finished_runs(number: int) -> None:
    """Runs of every end, of programs and of deployments, nested and not, with what stands around them."""
    flow, _ = Flow.objects.get_or_create(name="finished")
    runs, tasks, states, task_states = [], [], [], []
    deployment, queue = Deployment.objects.get().pk, WorkQueue.objects.get(name="q").pk
    schedule, process = Schedule.objects.get().pk, "elsewhere|1|1"
    for index in range(number):
        at = NOW - timedelta(minutes=1 + index % 600)
        shared = {
            "state_type": FINAL[index % 4],
            "state_name": FINAL[index % 4].title(),
            "state_timestamp": at,
            "expected_start_time": at,
            "next_scheduled_start_time": at,
            "seq": 1,
        }
        run = FlowRun(
            id=uuid7(),
            flow=flow,
            state_id=uuid7(),
            process=process if index % 2 else None,
            deployment_id=None if index % 2 else deployment,
            work_queue_id=None if index % 2 else queue,
            schedule_id=None if index % 2 else schedule,
            parent_task_run_id=tasks[-1].pk if index % 5 == 4 else None,
            **shared,
        )
        own = [
            TaskRun(id=uuid7(), flow_run=run, task_key="t", dynamic_key=str(n), state_id=uuid7(), **shared)
            for n in "01"
        ]
        own.append(TaskRun(id=uuid7(), task_key="t", dynamic_key=str(uuid7()), state_id=uuid7(), **shared))
        runs.append(run)
        tasks += own
        states.append(FlowRunState(id=run.state_id, flow_run=run, seq=1, type=run.state_type, name="x", timestamp=at))
        task_states += [
            TaskRunState(id=one.state_id, task_run=one, seq=1, type=one.state_type, name="x", timestamp=at)
            for one in own
        ]
    with connection.constraint_checks_disabled():
        FlowRun.objects.bulk_create(runs, batch_size=1000)
        TaskRun.objects.bulk_create(tasks, batch_size=1000)
        FlowRunState.objects.bulk_create(states, batch_size=1000)
        TaskRunState.objects.bulk_create(task_states, batch_size=1000)
    Log.objects.bulk_create([Log(name="x", level=20, message="m", timestamp=NOW, flow_run_id=run.pk) for run in runs])
    Deadline.objects.bulk_create(
        [Deadline(flow_run=run, kind="start", due=run.state_timestamp, missed_at=NOW) for run in runs]
    )
    Event.objects.bulk_create(
        [
            Event(id=uuid7(), occurred=NOW, received=NOW, event="x", resource={}, related=[], payload={}, pending=False)
            for _ in runs
        ]
    )
    Artifact.objects.bulk_create([Artifact(id=uuid7(), key="k", flow_run_id=run.pk) for run in runs])
    CacheEntry.objects.bulk_create([CacheEntry(cache_key=str(one.pk), task_run_state=one) for one in task_states[::3]])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


# Steps of SQLite's machine are counted by so many, and a statement as so many: to hear of each is dear.
STEPS = 10


@contextmanager
def counted():
    """Counts what the database does inside."""
    spent = [0]
    if connection.vendor == "sqlite":
        connection.ensure_connection()

        def step() -> int:
            spent[0] += STEPS
            return 0

        def ask(execute, sql, params, many, context):
            step()
            return execute(sql, params, many, context)

        connection.connection.set_progress_handler(step, STEPS)
        try:
            with connection.execute_wrapper(ask):
                yield spent
        finally:
            connection.connection.set_progress_handler(None, 1)
        return

    explaining = False

    def explain(execute, sql, params, many, context):
        nonlocal explaining
        if not explaining and not many and sql.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            explaining = True
            try:
                spent[0] += rows_touched(sql, params)
            finally:
                explaining = False
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield spent


def analyze() -> None:
    """Let the planner know the tables, as PostgreSQL does by itself a minute after they have grown."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def rows_touched(sql: str, params) -> int:
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params)
        plan = cursor.fetchone()[0]
        transaction.set_rollback(True)
    plan = plan if isinstance(plan, list) else json.loads(plan)
    return sum(rows_of(node) for node in nodes_of(plan[0]["Plan"]))


def nodes_of(plan):
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes_of(inner)


def rows_of(node) -> int:
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return round((node["Actual Rows"] + removed + node.get("Rows Removed by Join Filter", 0)) * node["Actual Loops"])


def cost_of(tick: Callable[..., object]) -> int:
    # There is always something to plan, under a limit that counts what is open.
    Schedule.objects.update(plan_at=NOW, planned_until=NOW)
    with counted() as spent:
        tick(timezone.now())
    return spent[0]


@pytest.mark.generative
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("statistics_of_its_own")
def test_an_idle_tick_costs_the_same_among_many_finished_runs(settings, tmp_path):
    settings.ORION_BROKER_URL = f"filesystem://{tmp_path}"
    services = services_of_this_server()
    make_limited_deployment()
    make_finished_runs(FEW)
    for service in services:
        service.tick(timezone.now())
    few = {service.name: cost_of(service.tick) for service in services}

    make_finished_runs(MANY - FEW)
    # They are counted first.
    for service in services:
        service.tick(timezone.now())
    many = {service.name: cost_of(service.tick) for service in services}

    grown = {name: (few[name], many[name]) for name in few if many[name] > 1.5 * few[name] + 300}
    assert not grown


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("statistics_of_its_own")
def test_each_page_of_old_runs_costs_the_same(monkeypatch):
    """Counted in steps of SQLite's machine, and on PostgreSQL by the rows that are read."""
    monkeypatch.setattr(old_rows, "RUNS_AT_ONCE", 20)
    make_limited_deployment()
    make_finished_runs(800)
    analyze()
    families = old_rows.old_families(before=timezone.now() + timedelta(days=1))

    costs = []
    while True:
        with counted() as spent:
            found = next(families, None)
        if found is None:
            break
        costs.append(spent[0])

    assert len(costs) >= 20
    assert max(costs) <= 3 * sorted(costs)[len(costs) // 2]
