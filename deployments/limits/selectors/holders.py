"""Find the runs that hold the slots of a limit, and those that wait for one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.fields.json import KeyTextTransform

from deployments.limits.selectors.capacity import chosen_by, is_held
from deployments.models import Deployment, GlobalLimit, GlobalSlot, Slot, WorkPool, WorkQueue
from orchestration.core.rules.concurrency import wait_for
from runs.models import FlowRun, TaskRun
from runs.querysets import is_holding, is_open

MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Holder:
    """A run that holds slots or waits for them: since when, and until when at most."""

    kind: Literal["flow-run", "task-run"]
    id: UUID
    name: str
    state_type: str | None
    since: datetime | None
    flow_run_id: UUID | None = None
    slots: int = 1
    lease_id: UUID | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """A limit (None: unlimited), how many of its slots are taken, by which runs, and which runs wait."""

    limit: int | None
    taken: int
    holders: list[Holder]
    waiters: list[Holder]


def holders_in(limited: WorkQueue | WorkPool | Deployment) -> QuerySet[FlowRun]:
    """Return the runs that hold a slot there, those that have held it longest first."""
    held = FlowRun.objects.filter(_waits_in(limited), is_holding())
    return held.order_by("state_timestamp", "pk")


def _waits_in(limited: WorkQueue | WorkPool | Deployment) -> Q:
    match limited:
        case WorkQueue():
            return chosen_by(limited)
        case WorkPool():
            return Q(work_queue_id__in=WorkQueue.objects.filter(work_pool=limited).values("pk"))
        case _:
            return Q(deployment_id=limited.pk)


def holding_of(limited: WorkQueue | WorkPool | Deployment, now: datetime) -> Holding:
    """Return the holders and the waiters, with three queries."""
    held = holders_in(limited)
    due = FlowRun.objects.filter(_waits_in(limited), state_type="SCHEDULED", next_scheduled_start_time__lte=now)
    waiting = due.order_by("next_scheduled_start_time", "pk")[:MOST_SHOWN]
    return Holding(
        limited.concurrency_limit,
        held.count(),
        [of_flow_run(run, run.state_timestamp) for run in held[:MOST_SHOWN]],
        [of_flow_run(run, run.next_scheduled_start_time) for run in waiting],
    )


def holding_of_tag(limit_id: UUID, tag: str, slots: int) -> Holding:
    """Return the holders of a tag. Waiters are runs whose last proposal was answered with WAIT because of this tag."""
    held = Slot.objects.filter(limit=limit_id).select_related("task_run").order_by("taken_at", "pk")
    holders = [of_task_run(slot.task_run, slot.taken_at) for slot in held[:MOST_SHOWN]]
    waiting = _refused_for(tag).filter(is_open()).order_by("expected_start_time", "pk")
    return Holding(
        slots, held.count(), holders, [of_task_run(run, run.expected_start_time) for run in waiting[:MOST_SHOWN]]
    )


def _refused_for(tag: str) -> QuerySet[TaskRun]:
    refused = TaskRun.objects.filter(refusal__verdict="WAIT").annotate(reason=KeyTextTransform("reason", "refusal"))
    waiting: QuerySet[TaskRun] = refused.filter(reason__regex=wait_for(tag))
    return waiting


def slots_of(limit: GlobalLimit, now: datetime) -> QuerySet[GlobalSlot]:
    """Return the slots that count, oldest first."""
    held = GlobalSlot.objects.filter(is_held(now), limit=limit)
    return held.select_related("flow_run").order_by("taken_at", "pk")


def holders_of_global_limit(limit: GlobalLimit, now: datetime) -> list[Holder]:
    """Return the identified holders. Anonymous ones are only counted."""
    slots = list(slots_of(limit, now)[:MOST_SHOWN])
    tasks = _task_runs(slot.task_run_id for slot in slots if slot.task_run_id)
    return [_of_slot(slot, tasks) for slot in slots]


def _of_slot(slot: GlobalSlot, tasks: dict[UUID, TaskRun]) -> Holder:
    task, run = tasks.get(slot.task_run_id) if slot.task_run_id else None, slot.flow_run
    kind: Literal["flow-run", "task-run"] = "task-run" if task else "flow-run"
    holder = task or run
    return Holder(
        kind,
        holder.pk if holder else slot.task_run_id or slot.pk,
        holder.name if holder else "unknown",
        holder.state_type if holder else None,
        slot.taken_at,
        slot.flow_run_id,
        slot.slots,
        slot.pk,
        slot.expires_at,
    )


def _task_runs(ids: Iterable[UUID]) -> dict[UUID, TaskRun]:
    return {run.pk: run for run in TaskRun.objects.filter(pk__in=set(ids)).only("name", "state_type", "flow_run_id")}


def of_flow_run(run: FlowRun, since: datetime | None) -> Holder:
    return Holder("flow-run", run.pk, run.name, run.state_type, since, run.pk)


def of_task_run(run: TaskRun, since: datetime | None) -> Holder:
    return Holder("task-run", run.pk, run.name, run.state_type, since, run.flow_run_id)
