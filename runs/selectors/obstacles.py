"""What may be in a run's way besides its own state: full limits, runs that overlap, paused queues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from deployments.models import ConcurrencyLimit, Deployment, Slot, WorkQueue
from runs.models import FlowRun, TaskRun

HOLDERS_SHOWN = 20
# An agent that has not asked for this long is most likely gone.
SILENCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps a run from moving, since when, who is in the way, and what would help."""

    code: str
    text: str
    fix: str | None = None
    since: datetime | None = None
    holders: Sequence[dict[str, Any]] | None = None


def full_limits(run: TaskRun) -> Iterator[Reason]:
    """Limits on the run's tags that have no slot left for it, with those who hold the slots."""
    for limit in ConcurrencyLimit.objects.filter(tag__in=run.tags):
        slots = Slot.objects.select_related("task_run").filter(limit=limit).exclude(task_run=run).order_by("taken_at")
        holders = [_holder(slot) for slot in slots[:HOLDERS_SHOWN]]
        if limit.concurrency_limit == 0:
            text = f"The limit on tag {limit.tag!r} is 0: no task with it may run."
            yield Reason("limit_is_zero", text, f"Raise the limit on {limit.tag!r}.")
        elif len(holders) >= limit.concurrency_limit or slots.count() >= limit.concurrency_limit:
            text = f"All {limit.concurrency_limit} slots of tag {limit.tag!r} are taken."
            fix = f"Wait for one of the holders, raise the limit on {limit.tag!r}, or reset it."
            yield Reason("waiting_for_slot", text, fix, slots[0].taken_at if holders else None, holders)


def _holder(slot: Slot) -> dict[str, Any]:
    task_run = slot.task_run
    return {
        "kind": "task-run",
        "id": task_run.id,
        "name": task_run.name,
        "flow_run_id": task_run.flow_run_id,
        "since": slot.taken_at,
    }


def overlapping_runs(run: FlowRun) -> Iterator[Reason]:
    """Running runs of the same flow, where the run's author said that they exclude each other."""
    if run.empirical_policy.get("overlap", "allow") != "queue":
        return
    active = FlowRun.objects.filter(flow=run.flow_id, state_type__in=["RUNNING", "CANCELLING"]).exclude(pk=run.id)
    others = list(active.order_by("start_time")[:HOLDERS_SHOWN])
    if others:
        text = f"Its flow runs one at a time, and {others[0].name!r} is running."
        holders = [{"kind": "flow-run", "id": run.id, "name": run.name, "since": run.start_time} for run in others]
        yield Reason("overlap", text, "Wait for that run, or cancel it.", others[0].start_time, holders)


def queue_obstacles(run: FlowRun, now: datetime) -> Iterator[Reason]:
    """For a deployed run: a paused deployment, pool or queue, or a queue that nobody asks."""
    if run.deployment_id is None:
        return
    deployment = Deployment.objects.filter(pk=run.deployment_id, paused=True).first()
    if deployment is not None:
        yield Reason("deployment_paused", f"Deployment {deployment.name!r} is paused.", "Resume the deployment.")
    queues = WorkQueue.objects.select_related("work_pool")
    queue = queues.filter(pk=run.work_queue_id).first() if run.work_queue_id else None
    if queue is None:
        yield Reason("no_queue", "It waits in no queue, so only its own process can start it.")
        return
    if queue.work_pool and queue.work_pool.is_paused:
        yield Reason("pool_paused", f"Work pool {queue.work_pool.name!r} is paused.", "Resume the work pool.")
    if queue.is_paused:
        yield Reason("queue_paused", f"Work queue {queue.name!r} is paused.", "Resume the work queue.")
    elif queue.last_polled is None or queue.last_polled < now - SILENCE:
        asked = f"for the last time at {queue.last_polled:%Y-%m-%d %H:%M:%S UTC}" if queue.last_polled else "never"
        text = f"Work queue {queue.name!r} was {asked} asked for work."
        yield Reason("no_agent", text, f"Start an agent: orion agent start -q {queue.name}", queue.last_polled)
