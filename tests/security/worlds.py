"""Two deployments with one of everything that belongs to a deployment, and nothing that belongs to both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.apps import apps
from django.utils import timezone

from deployments import models as work
from events.models import Event
from orion_site.accounts.objects import owned_tables
from runs import models as runs
from tests.web.deployments import HOURLY, make_deployment
from tests.web.rows import add_lines, make_flow, make_run, make_task_run


@dataclass(frozen=True)
class World:
    """All that belongs to one deployment: its rows by table, and a word that is in each of their names."""

    word: str
    rows: dict[str, Any]
    strangers: frozenset[str]

    def id_of(self, table: str, column: str = "id") -> str:
        return str(getattr(self.rows[table], column if column != "id" else "pk"))


def make_world(word: str) -> World:
    """Make a world in which every name contains `word`, so that a test can find it in any answer."""
    before = _ids()
    now = timezone.now()
    pool = work.WorkPool.objects.create(name=f"{word}-pool")
    queue = work.WorkQueue.objects.create(name=f"{word}-queue", work_pool=pool)
    deployment = make_deployment(f"{word}-daily", flow=f"{word}-flow", schedules=[HOURLY], tags=[f"{word}-tag"])
    work.Deployment.objects.filter(pk=deployment.pk).update(work_queue=queue, work_queue_name=queue.name)
    schedule = deployment.schedules.get()
    calendar = work.Calendar.objects.create(name=f"{word}-days", ics="BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")
    schedule.calendars.add(calendar)
    own: dict[str, Any] = {"deployment_id": deployment.pk, "work_queue_id": queue.pk, "work_queue_name": queue.name}
    environment = runs.Environment.objects.create(id=uuid4(), python=f"{word}-python", platform="linux")
    named = {"tags": [f"{word}-tag"], "environment_id": environment.pk}
    run = make_run(f"{word}-run", flow=deployment.flow, state="RUNNING", at=now, **named, **own)
    task_run = make_task_run(f"{word}-task", flow_run=run, state="RUNNING", at=now)
    # Nested twice: neither of them has a deployment.
    nested = make_run(f"{word}-nested", flow=make_flow(f"{word}-inner"), at=now, parent_task_run=task_run)
    deep_task = make_task_run(f"{word}-deep-task", flow_run=nested, at=now)
    make_run(f"{word}-deep", flow=make_flow(f"{word}-innermost"), at=now, parent_task_run=deep_task)
    make_run(f"{word}-failed", flow=deployment.flow, state="FAILED", message=f"{word}-failure", at=now, **own)
    problem = runs.Problem.objects.create(
        type=f"{word}Error", example=f"{word}-failure", since=now, first_seen=now, last_seen=now, failures=1
    )
    runs.Occurrence.objects.create(
        id=uuid4(), problem_id=problem.pk, run=run, flow_id=run.flow_id, seen_at=now, is_pending=False
    )
    planned = {"next_scheduled_start_time": now - timedelta(hours=1), **own}
    make_run(f"{word}-late", flow=deployment.flow, state="SCHEDULED", state_name="Late", at=now, **planned)
    add_lines(run, f"{word}-line")
    add_lines(nested, f"{word}-nested-line", task_run=deep_task)
    artifact = runs.Artifact.objects.create(
        key=f"{word}-report", type="markdown", data=f"{word}-text", flow_run_id=run.pk, task_run_id=task_run.pk
    )
    latest = runs.ArtifactCollection.objects.create(key=artifact.key, latest_id=artifact.pk)
    runs.FlowRunInput.objects.create(flow_run=run, key=f"{word}-answer", value='"x"')
    limit = work.ConcurrencyLimit.objects.create(tag=f"{word}-tag", concurrency_limit=3)
    slot = work.Slot.objects.create(limit=limit, task_run=task_run, taken_at=now)
    worker = work.Worker.objects.create(name=f"{word}-agent", work_pool=pool, last_heartbeat=now, incarnation=uuid4())
    work.Lease.objects.create(flow_run=run, worker=worker, epoch=1, expires_at=now + timedelta(minutes=2))
    backfill = work.Backfill.objects.create(
        name=f"{word}-backfill",
        deployment=deployment,
        start=datetime(2026, 1, 1, tzinfo=UTC),
        end=datetime(2026, 1, 2, tzinfo=UTC),
        definition=HOURLY,
        total=1,
    )
    work.BackfillTime.objects.create(backfill=backfill, number=0, at=backfill.start, run_id=run.pk)
    bulk = runs.BulkAction.objects.create(
        action="cancel", author=f"{word}-author", entrance="page", filter={"query": f"flow={word}-flow"}, total=1
    )
    runs.BulkRun.objects.create(bulk_action=bulk, number=0, run_id=run.pk, name=run.name)
    event = Event.objects.create(
        event="prefect.flow-run.Running",
        occurred=now,
        resource_id=f"prefect.flow-run.{run.pk}",
        resource={"prefect.resource.id": f"prefect.flow-run.{run.pk}", "prefect.resource.name": run.name},
    )
    rows = [pool, queue, deployment, schedule, calendar, run, task_run, artifact, latest, limit, slot, worker]
    rows += [environment, backfill, bulk, problem, event, deployment.flow, run_state(run), task_state(task_run)]
    return World(word, {row._meta.db_table: row for row in rows}, frozenset(_ids() - before))


def run_state(run: runs.FlowRun) -> runs.FlowRunState:
    return runs.FlowRunState.objects.filter(flow_run=run).latest("seq")


def task_state(run: runs.TaskRun) -> runs.TaskRunState:
    return runs.TaskRunState.objects.filter(task_run=run).latest("seq")


def _ids() -> set[str]:
    tables = owned_tables()
    models = [model for model in apps.get_models() if model._meta.db_table in tables]
    return {
        str(pk)
        for model in models
        if model._meta.pk is not None and model._meta.pk.get_internal_type() == "UUIDField"
        for pk in model._default_manager.values_list("pk", flat=True)
    }
