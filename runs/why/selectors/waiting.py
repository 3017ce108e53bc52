"""Runs that are due but have not started, grouped by the reason why they wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import OuterRef, Subquery

from deployments.models import Deployment, Worker, WorkQueue
from deployments.upkeep.current_settings import current_in_query
from orionflow.contract.names import quoted
from runs.lists.filters.conditions import is_tagged_with_all
from runs.models import FlowRun, FlowRunTag
from runs.querysets import Literal
from runs.why.selectors.blockers import Reason
from runs.why.selectors.queue_blockers import blockers_of_queue

# The most runs that are read, the oldest first. With more, the problem shows anyway.
LOOKED_AT = 1_000
COLUMNS = ("id", "name", "tags", "work_queue_id", "deployment_id", "flow_id", "flow__name", "next_scheduled_start_time")


@dataclass(frozen=True, slots=True)
class WaitingGroup:
    """Runs that wait in one queue or, without a queue, for the process of one deployment; oldest first."""

    runs: Sequence[FlowRun]
    queue: WorkQueue | None
    reason: Reason | None
    # Whether more runs are due than were read, so that it may have more, too.
    is_cut: bool = False

    @property
    def oldest(self) -> FlowRun:
        return self.runs[0]

    @property
    def since(self) -> datetime | None:
        return self.oldest.next_scheduled_start_time

    def is_late(self, now: datetime) -> bool:
        """Whether its oldest run waits for longer than the setting allows, whether or not it is marked as late."""
        grace = timedelta(seconds=vars(self.oldest)["late_after"])
        return self.since is not None and self.since <= now - grace


def scheduled_runs(*, until: datetime, tags: Sequence[str] = ()) -> list[FlowRun]:
    """Return runs that are scheduled up to `until`, those that were due first come first. One query."""
    name = Deployment.objects.filter(pk=OuterRef("deployment_id")).values("name")[:1]
    runs = FlowRun.objects.filter(state_type=Literal("SCHEDULED"), next_scheduled_start_time__lte=until)
    runs = runs.order_by("next_scheduled_start_time").select_related("flow").only(*COLUMNS)
    late_after = current_in_query("ORION_LATE_AFTER_SECONDS")
    if tags:
        # Not after the first runs are chosen: those with the tags may come later than a thousand others.
        runs = runs.filter(is_tagged_with_all(FlowRunTag, tags))
    return list(runs.annotate(deployment_name=Subquery(name), late_after=late_after)[:LOOKED_AT])


def waiting_groups(
    runs: Sequence[FlowRun], *, workers: Sequence[Worker], holding: Mapping[UUID | None, int], now: datetime
) -> list[WaitingGroup]:
    """Group waiting runs; `holding` is the number of runs that hold a slot of each queue. One query, for the queues."""
    grouped: dict[tuple[UUID | None, UUID | None], list[FlowRun]] = {}
    for run in runs:
        key = (run.work_queue_id, None if run.work_queue_id else run.deployment_id)
        grouped.setdefault(key, []).append(run)
    queues = _queues({queue_id for queue_id, _ in grouped if queue_id})
    taken = _taken(queues, holding)
    groups = []
    for (queue_id, _), waiting in grouped.items():
        queue = queues.get(queue_id) if queue_id else None
        reason = _of_queue(queue, workers, taken, now) if queue else _without_queue(waiting[0])
        groups.append(WaitingGroup(waiting, queue, reason, is_cut=len(runs) >= LOOKED_AT))
    return groups


def _queues(ids: Collection[UUID]) -> dict[UUID, WorkQueue]:
    return (
        {queue.pk: queue for queue in WorkQueue.objects.select_related("work_pool").filter(pk__in=ids)} if ids else {}
    )


def _taken(queues: Mapping[UUID, WorkQueue], holding: Mapping[UUID | None, int]) -> Counter[UUID]:
    """Return the slots taken of each of these queues, and of their pools by these queues."""
    taken: Counter[UUID] = Counter({queue_id: number for queue_id, number in holding.items() if queue_id})
    for queue in queues.values():
        if queue.work_pool_id:
            taken[queue.work_pool_id] += holding.get(queue.pk, 0)
    return taken


def _of_queue(queue: WorkQueue, workers: Sequence[Worker], taken: Mapping[UUID, int], now: datetime) -> Reason | None:
    return next(iter(blockers_of_queue(queue, workers=workers, taken=taken, now=now)), None)


def _without_queue(run: FlowRun) -> Reason:
    name = getattr(run, "deployment_name", None)
    if name:
        text = f"No process serves {quoted(name)}, and its runs wait in no queue."
        return Reason("no_queue", text, "Serve the flow again, or give its deployment a work queue.")
    return Reason("no_queue", "Only their own process can start runs that wait in no queue.")
