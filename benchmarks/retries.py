"""The preview of a retry from a task, for runs of 1,000 and 10,000 task runs: seconds, queries, bytes of the answer."""

from __future__ import annotations

import argparse
import json
import time
from uuid import UUID

from benchmarks.measuring import QUICK, on_database, report
from benchmarks.postgresql import postgresql

SIZES = (100, 1_000) if QUICK else (1_000, 10_000)
# The length of chains in which each call takes input from the previous one.
DEEP = 10
REPEATS = 5


def measure(database: str) -> None:
    from orion_site.bootstrap import ephemeral_application

    ephemeral_application()
    from django.db import connection
    from django.test.utils import CaptureQueriesContext
    from django.utils import timezone

    from runs.retries.api import preview_out
    from runs.retries.services import RetryOptions, preview_retry

    for size in SIZES:
        run_id = finished_run(size)
        options = RetryOptions(wanted=["step-5"])
        preview_retry(run_id=run_id, options=options, now=timezone.now())
        took = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            preview = preview_retry(run_id=run_id, options=options, now=timezone.now())
            took.append(time.perf_counter() - started)
        with CaptureQueriesContext(connection) as queries:
            preview_retry(run_id=run_id, options=options, now=timezone.now())
        content = json.dumps(preview_out(preview, ["step-5"]), default=str)
        figures = {"reused": len(preview.plan.reused), "again": len(preview.plan.again), "queries": len(queries)}
        report(
            "retries", who="orion", database=database, task_runs=size, seconds=round(min(took), 4),
            bytes=len(content), **figures,
        )  # fmt: skip


def finished_run(size: int) -> UUID:
    """Create a run of chains of ten calls, all with stored results; written in batches like the SDK does."""
    from django.utils import timezone

    from deployments.models import Deployment
    from orchestration.batch import TaskRunTransition, apply_task_run_transitions
    from orchestration.core.states import State, StateType
    from orchestration.new_runs import NewFlowRun, NewTaskRun
    from orchestration.services import propose_flow_run_state
    from orionflow.contract.ids import uuid7
    from runs.flow_runs.services import create_flow_run
    from runs.models import Flow

    now = timezone.now()
    flow, _ = Flow.objects.get_or_create(name="priced")
    deployment, _ = Deployment.objects.get_or_create(flow=flow, name="priced")
    new = NewFlowRun(flow_id=flow.pk, name=f"priced-{size}", deployment_id=deployment.pk)
    run, _ = create_flow_run(new=new, state=State(type=StateType.PENDING), now=now)
    propose_flow_run_state(run_id=run.pk, proposed=State(type=StateType.RUNNING), now=now)
    data = {"type": "reference", "storage_key": "0" * 32, "storage": "file:///results", "serializer_type": "json"}
    items: list[TaskRunTransition] = []
    before: UUID | None = None
    for number in range(size):
        place, task_run_id = number % DEEP, uuid7()
        inputs = {"x": [{"input_type": "task_run", "id": str(before)}]} if place and before else {}
        key = f"{number:040x}-0"
        made = NewTaskRun(
            task_key=f"step{place}-1a2b3c4d",
            dynamic_key=key,
            flow_run_id=run.pk,
            name=f"step-{place}",
            task_inputs=inputs,
        )
        items.append(TaskRunTransition(task_run_id, made, State(type=StateType.PENDING, id=uuid7(), timestamp=now)))
        for kind, held in ((StateType.RUNNING, None), (StateType.COMPLETED, data)):
            state = State(type=kind, id=uuid7(), timestamp=timezone.now(), data=held)
            items.append(TaskRunTransition(task_run_id, None, state))
        before = task_run_id
    for start in range(0, len(items), 900):
        apply_task_run_transitions(items=items[start : start + 900], now=timezone.now(), sent_at=None)
    propose_flow_run_state(run_id=run.pk, proposed=State(type=StateType.COMPLETED), now=timezone.now())
    return run.pk


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--on", choices=["sqlite", "postgresql"])
    wanted = parser.parse_args()
    if wanted.on:
        measure(wanted.on)
    else:
        on_database("benchmarks.retries", "sqlite")
        with postgresql() as url:
            on_database("benchmarks.retries", "postgresql", ORION_DATABASE_URL=url)
