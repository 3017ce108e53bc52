"""How the time of all runs in a period was spent, from a sample of the newest ones."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from deployments.models import ConcurrencyLimit, Deployment, WorkPool, WorkQueue
from orionflow.contract.names import quoted
from orionflow.contract.states import TERMINAL, in_order
from runs.models import FlowRun, FlowRunState, TaskRunTag
from runs.time_spent.core.limits import Holder, full_times
from runs.time_spent.core.stretches import IDLE, OVER, WORK, Held, Passage, Share, Stretch, shares, stretches
from runs.time_spent.selectors.of_run import SHORTEST_WAIT, passage

RUNS_SAMPLED = 1_000
STATES_READ = 20_000
LIMITS_READ = 500
TASK_RUNS_READ = 2_000
FLOWS_SHOWN = 50
RUNS_LISTED = 200
# The kind of a reason by which task runs waited: for the slots of a tag.
TAG = "tag"
ZERO = timedelta()


@dataclass(slots=True)
class FlowTime:
    """The time of the runs of one flow: the total, the time that they waited, and for which reasons."""

    flow: str
    runs: int = 0
    waited: timedelta = ZERO
    worked: timedelta = ZERO
    by_reason: dict[tuple[str, str], timedelta] = field(default_factory=dict)

    @property
    def mostly(self) -> Share | None:
        """The longest wait."""
        if not self.by_reason:
            return None
        (kind, name), lasted = max(self.by_reason.items(), key=lambda pair: pair[1])
        return Share(kind, lasted, name)


@dataclass(frozen=True, slots=True)
class Reason:
    """A way in which runs spent their time: the total time, and the number of runs."""

    share: Share
    runs: int
    percent: float


@dataclass(frozen=True, slots=True)
class TagWait:
    """How long task runs waited for the slots of a tag while their flow runs ran."""

    tag: str
    waited: timedelta
    task_runs: int
    is_cut: bool


@dataclass(frozen=True, slots=True)
class RunTime:
    """The time that one run spent in one way; `flow` is empty for a task run."""

    id: UUID
    name: str
    flow: str
    lasted: timedelta


@dataclass(frozen=True, slots=True)
class FleetTime:
    """The time of finished runs that were due after `since`."""

    since: datetime
    runs: int
    # The earliest run of the sample if there are more runs than it contains; otherwise None.
    reaches: datetime | None
    whole: timedelta
    reasons: Sequence[Reason]
    flows: Sequence[FlowTime]
    tags: Sequence[TagWait]
    # The runs that spent time in the way that was asked for, the longest first, and at most some of them.
    listed: Sequence[RunTime] = ()


def time_of_fleet(*, since: datetime, now: datetime, of: tuple[str, str] | None = None) -> FleetTime:
    """Sum up how the time of finished runs was spent, and list the runs that spent time on the reason `of`.

    Eight queries at most.
    """
    runs = list(
        FlowRun.objects.filter(
            state_type__in=in_order(TERMINAL), expected_start_time__gte=since, expected_start_time__lte=now
        )
        .select_related("flow")
        .only("id", "name", "flow__name", "work_queue_id", "deployment_id", *TIMES)
        .order_by("-expected_start_time")[: RUNS_SAMPLED + 1]
    )
    is_cut = len(runs) > RUNS_SAMPLED
    del runs[RUNS_SAMPLED:]
    history = _histories(runs)
    full = _full(runs)
    flows: dict[str, FlowTime] = {}
    sums: defaultdict[tuple[str, str], timedelta] = defaultdict(timedelta)
    concerned: defaultdict[tuple[str, str], int] = defaultdict(int)
    listed: list[RunTime] = []
    for run in runs:
        if not (passages := history.get(run.id)):
            continue
        held = [one for limit in _limits_of(run, full) for one in overlapping(limit, run)]
        found = stretches(due=run.expected_start_time, passages=passages, until=passages[-1].at, held=held)
        _add(flows.setdefault(run.flow.name, FlowTime(run.flow.name)), found)
        for one in shares(found):
            if one.kind != OVER:
                sums[one.kind, one.name] += one.lasted
                concerned[one.kind, one.name] += 1
                if (one.kind, one.name) == of:
                    listed.append(RunTime(run.id, run.name, run.flow.name, one.lasted))
    waits, waits_are_cut = _waits_for_tags(since, now)
    listed += [one for tag, one in waits if (TAG, tag) == of]
    whole = sum(sums.values(), ZERO)
    reasons = [
        Reason(Share(kind, lasted, name), concerned[kind, name], 100 * lasted / whole if whole else 0.0)
        for (kind, name), lasted in sums.items()
    ]
    return FleetTime(
        since,
        len(runs),
        runs[-1].expected_start_time if is_cut else None,
        whole,
        sorted(reasons, key=lambda one: -one.share.lasted),
        sorted(flows.values(), key=lambda one: -one.waited)[:FLOWS_SHOWN],
        _by_tag(waits, waits_are_cut),
        sorted(listed, key=lambda one: -one.lasted)[:RUNS_LISTED],
    )


TIMES = ("expected_start_time", "start_time", "end_time", "state_timestamp")


def _add(flow: FlowTime, found: Iterable[Stretch]) -> None:
    flow.runs += 1
    for one in found:
        if one.kind in (WORK, IDLE):
            flow.worked += one.lasted
        elif one.kind != OVER:
            flow.waited += one.lasted
            key = (one.kind, one.name)
            flow.by_reason[key] = flow.by_reason.get(key, ZERO) + one.lasted


def _histories(runs: Sequence[FlowRun]) -> dict[UUID, list[Passage]]:
    states = FlowRunState.objects.filter(flow_run__in=[run.id for run in runs]).order_by("flow_run", "seq")
    found: defaultdict[UUID, list[Passage]] = defaultdict(list)
    for run_id, *row in states.values_list("flow_run_id", "type", "name", "timestamp", "details")[:STATES_READ]:
        found[run_id].append(passage(*row))
    return found


def _full(runs: Sequence[FlowRun]) -> dict[tuple[str, UUID | None], list[Held]]:
    """Return, by limit, when all its slots were taken by runs of the sample. Two queries."""
    queues = {run.work_queue_id for run in runs if run.work_queue_id}
    deployments = {run.deployment_id for run in runs if run.deployment_id}
    limited = {
        one.pk: one for one in WorkQueue.objects.select_related("work_pool").filter(_limited(queues))[:LIMITS_READ]
    }
    served = Deployment.objects.filter(pk__in=sorted(deployments)[:1000], concurrency_limit__isnull=False)
    pool_of = {queue.pk: queue.work_pool for queue in limited.values() if queue.work_pool}
    found: dict[tuple[str, UUID | None], list[Held]] = {}
    for queue in limited.values():
        if queue.concurrency_limit is not None:
            mine = [run for run in runs if run.work_queue_id == queue.pk]
            found["queue", queue.pk] = _times(f"work queue {quoted(queue.name)}", queue.concurrency_limit, mine)
    for pool in {pool.pk: pool for pool in pool_of.values()}.values():
        if pool.concurrency_limit is not None:
            mine = [run for run in runs if _is_of(pool, pool_of, run)]
            held = _times(f"work pool {quoted(pool.name)}", pool.concurrency_limit, mine)
            found.update({("pool", pk): held for pk, one in pool_of.items() if one.pk == pool.pk})
    for deployment in served.only("id", "name", "concurrency_limit")[:LIMITS_READ]:
        mine = [run for run in runs if run.deployment_id == deployment.pk]
        slots = deployment.concurrency_limit or 0
        found["deployment", deployment.pk] = _times(f"deployment {quoted(deployment.name)}", slots, mine)
    return found


def _limited(queues: Iterable[UUID]) -> Q:
    is_limited = Q(concurrency_limit__isnull=False) | Q(work_pool__concurrency_limit__isnull=False)
    return Q(pk__in=sorted(queues)[:1000]) & is_limited


def _is_of(pool: WorkPool, pool_of: Mapping[UUID, WorkPool | None], run: FlowRun) -> bool:
    mine = pool_of.get(run.work_queue_id) if run.work_queue_id else None
    return mine is not None and mine.pk == pool.pk


def _times(words: str, slots: int, runs: Sequence[FlowRun]) -> list[Held]:
    holders = [
        Holder(run.id, run.name, run.start_time, run.end_time) for run in runs if run.start_time and run.end_time
    ]
    if not holders:
        return []
    return full_times(words, slots, holders, min(one.begin for one in holders), max(one.end for one in holders))


def _limits_of(run: FlowRun, full: Mapping[tuple[str, UUID | None], list[Held]]) -> Iterable[list[Held]]:
    keys = (("queue", run.work_queue_id), ("pool", run.work_queue_id), ("deployment", run.deployment_id))
    return [full[key] for key in keys if key[1] is not None and key in full]


def overlapping(held: Sequence[Held], run: FlowRun) -> Sequence[Held]:
    """Return those of the times in which the run may have waited. They must be in order and not overlap."""
    begin, end = run.expected_start_time, run.end_time or run.state_timestamp
    if begin is None or end is None:
        return []
    first = bisect_left(held, begin, key=lambda one: one.end)
    return held[first : bisect_left(held, end, key=lambda one: one.begin)]


def _waits_for_tags(since: datetime, now: datetime) -> tuple[list[tuple[str, RunTime]], bool]:
    """Return the task runs that waited for slots, each with the tag, and whether there are more. Two queries."""
    tags = list(ConcurrencyLimit.objects.values_list("tag", flat=True)[:LIMITS_READ])
    if not tags:
        return [], False
    rows = TaskRunTag.objects.filter(tag__in=tags, expected_start_time__range=(since, now))
    columns = ("tag", "expected_start_time", "run__start_time", "run_id", "run__name")
    newest: list[Any] = list(rows.order_by("-expected_start_time").values_list(*columns)[: TASK_RUNS_READ + 1])
    found = [
        (tag, RunTime(run_id, name or "", "", wait))
        for tag, due, started, run_id, name in newest[:TASK_RUNS_READ]
        if (wait := (started or due) - due) >= SHORTEST_WAIT
    ]
    return found, len(newest) > TASK_RUNS_READ


def _by_tag(waits: Iterable[tuple[str, RunTime]], is_cut: bool) -> list[TagWait]:
    sums: dict[str, tuple[timedelta, int]] = {}
    for tag, one in waits:
        waited, number = sums.get(tag, (ZERO, 0))
        sums[tag] = (waited + one.lasted, number + 1)
    found = [TagWait(tag, waited, number, is_cut) for tag, (waited, number) in sums.items()]
    return sorted(found, key=lambda one: -one.waited)
