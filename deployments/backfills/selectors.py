"""Selectors for backfills: completed times, progress, and lists."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from deployments.dispatch.selectors.due import due_ids
from deployments.models import Backfill, BackfillTime, WorkPool, WorkQueue
from orionflow.contract.states import TERMINAL, in_order
from runs.models import FlowRun

ENDED = in_order(TERMINAL)


def completed_times(deployment_id: UUID, start: datetime, end: datetime) -> set[datetime]:
    """Return the times of a deployment that have a completed run, planned by a schedule or created by a backfill."""
    completed = FlowRun.objects.filter(state_type="COMPLETED", deployment_id=deployment_id)
    planned = completed.filter(auto_scheduled=True, expected_start_time__range=(start, end)).order_by()
    made = BackfillTime.objects.filter(backfill__deployment=deployment_id, at__range=(start, end), run_id__isnull=False)
    done = made.filter(run_id__in=completed.values("pk")).values_list("at", flat=True)
    return {at for at in planned.values_list("expected_start_time", flat=True) if at} | set(done)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a backfill: its runs by state, the times without a run, and the runs that were deleted."""

    left: int = 0
    made: int = 0
    states: Mapping[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        return sum(number for state, number in self.states.items() if state in ENDED) + self.gone

    @property
    def gone(self) -> int:
        return self.made - sum(self.states.values())


def progress_of(backfills: Iterable[Backfill]) -> dict[UUID, Progress]:
    """Return the progress of these backfills, with two queries. Each has a bounded number of runs."""
    ids = [one.pk for one in backfills]
    if not ids:
        return {}
    times = BackfillTime.objects.filter(backfill__in=ids).order_by()
    counted = times.values("backfill_id").annotate(made=Count("run_id"), every=Count("pk"))
    counts = counted.values_list("backfill_id", "every", "made")
    states = _states_of(ids)
    return {pk: Progress(every - made, made, states.get(pk, {})) for pk, every, made in counts}


def _states_of(ids: Collection[UUID]) -> dict[UUID, dict[str, int]]:
    made = BackfillTime.objects.filter(backfill__in=ids, run_id__isnull=False).order_by()
    of_run = dict(made.values_list("run_id", "backfill_id"))
    runs = FlowRun.objects.filter(pk__in=made.values("run_id")).order_by().values_list("pk", "state_type")
    found: dict[UUID, dict[str, int]] = {}
    for pk, state in runs:
        states = found.setdefault(of_run[pk], {})
        states[state or "PENDING"] = states.get(state or "PENDING", 0) + 1
    return found


def backfills_of(deployment_id: UUID | None) -> QuerySet[Backfill]:
    """Return the backfills, newest first."""
    found = Backfill.objects.select_related("deployment__flow").order_by("-created", "-pk")
    return found if deployment_id is None else found.filter(deployment=deployment_id)


def runs_of_times(times: Sequence[BackfillTime]) -> dict[UUID, FlowRun]:
    ids = [one.run_id for one in times if one.run_id]
    columns = ("id", "name", "state_type", "state_name", "start_time", "end_time", "total_run_time")
    return FlowRun.objects.only(*columns).in_bulk(ids)


# A run that is due for longer than this finds no free agent; others are about to be claimed.
GRACE = timedelta(seconds=2)


def waits_for_others(backfill: Backfill, now: datetime) -> bool:
    """Whether a run that belongs to no backfill could start in the same queue, and waits for an agent."""
    queue_id = _queue_id(backfill)
    if queue_id is None:
        return False
    others = ~Q(Exists(BackfillTime.objects.filter(run_id=OuterRef("pk"))))
    return bool(due_ids(queues=[queue_id], before=now - GRACE, limit=1, among=others))


def _queue_id(backfill: Backfill) -> UUID | None:
    own = backfill.deployment.work_queue
    if backfill.work_queue_name is None or (own and own.name == backfill.work_queue_name):
        return backfill.deployment.work_queue_id
    pool = own.work_pool.name if own and own.work_pool else WorkPool.DEFAULT_NAME
    found = WorkQueue.objects.filter(work_pool__name=pool, name=backfill.work_queue_name)
    return found.values_list("pk", flat=True).first()
