"""The limits that apply to a flow run, when they were full while it waited, and which runs held the slots.

These are the current limits: earlier ones are not stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from deployments.models import Deployment, WorkQueue
from orionflow.contract.names import quoted
from orionflow.contract.states import HOLDING
from runs.models import FlowRun
from runs.time_spent.core.limits import Holder, full_times
from runs.time_spent.core.stretches import Held

HOLDERS_READ = 500
# Runs that were due longer before the window are not read as holders.
LONGEST_HELD = timedelta(days=2)


Window = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that applies to a run: its label, its slots, and the runs that take them."""

    words: str
    slots: int
    takers: Q


def limits_on(run: FlowRun) -> Iterator[Limit]:
    """Yield the limits on the run's queue, pool and deployment: it is not claimed while one of them is full."""
    if run.work_queue_id:
        queue = WorkQueue.objects.select_related("work_pool").filter(pk=run.work_queue_id).first()
        if queue and queue.concurrency_limit is not None:
            mine = Q(work_queue_name=run.work_queue_name, work_queue_id=queue.pk)
            yield Limit(f"work queue {quoted(queue.name)}", queue.concurrency_limit, mine)
        pool = queue.work_pool if queue else None
        if pool and pool.concurrency_limit is not None:
            queues = WorkQueue.objects.filter(work_pool=pool).values("pk")
            yield Limit(f"work pool {quoted(pool.name)}", pool.concurrency_limit, Q(work_queue_id__in=queues))
    if run.deployment_id:
        deployment = Deployment.objects.filter(pk=run.deployment_id).only("name", "concurrency_limit").first()
        if deployment and deployment.concurrency_limit is not None:
            mine = Q(deployment_id=run.deployment_id)
            yield Limit(f"deployment {quoted(deployment.name)}", deployment.concurrency_limit, mine)


def overlap_of(run: FlowRun) -> Iterator[Limit]:
    """Yield a limit of one run at a time if the run's author set one for its flow or deployment."""
    if run.empirical_policy.get("overlap") == "queue":
        of_deployment = run.empirical_policy.get("overlap_scope") == "deployment" and run.deployment_id
        same = Q(deployment_id=run.deployment_id) if of_deployment else Q(flow=run.flow_id)
        yield Limit(f"its {'deployment' if of_deployment else 'flow'}, which runs one at a time", 1, same)


def held_up(run: FlowRun, limits: Iterable[Limit], window: Window | None, now: datetime) -> list[Held]:
    """Return when one of the limits was full in the window because of other runs. One query for each limit."""
    if window is None:
        return []
    begin, end = window
    found: list[Held] = []
    for limit in limits:
        found += full_times(limit.words, limit.slots, _holders(run, limit, begin, end, now), begin, end)
    return found


def _holders(run: FlowRun, limit: Limit, begin: datetime, end: datetime, now: datetime) -> list[Holder]:
    columns = ("id", "name", "start_time", "end_time", "state_type", "state_timestamp")
    runs = FlowRun.objects.filter(
        limit.takers, expected_start_time__gte=begin - LONGEST_HELD, expected_start_time__lte=end, start_time__lt=end
    ).exclude(pk=run.pk)
    newest = runs.order_by("-expected_start_time").values_list(*columns)[:HOLDERS_READ]
    return [
        Holder(id, name, start, stop or (now if kind in HOLDING else stamp or start))
        for id, name, start, stop, kind, stamp in newest
    ]
