"""Deployments as dense rows: the last runs, their durations, and the next one.

The first page shows the same rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When

from deployments.models import Deployment
from deployments.pages.selectors.on_time import Limits, OnTime, SecondsBetween, on_time
from deployments.upkeep.current_settings import current_in_query
from orchestration.core.states import TERMINAL, StateType
from orionflow.contract.states import LATE
from runs.lists.filters import lookups  # noqa: F401  (registers `orion_holds_all`)
from runs.models import FlowRun
from runs.pages.selectors.bounds import Bound, come_within
from runs.pages.selectors.keyset import COUNT_CAP, capped_counts
from runs.pages.selectors.keyset import Count as Counted
from runs.pages.selectors.runs import is_planned
from runs.pages.selectors.strips import completed_seconds, drift_in_words, usual_seconds
from runs.querysets import Literal

LINES_PER_PAGE = 50
LAST_RUNS = 30
# The drift compares this number of the newest completed runs with at least as many before them.
RECENT_RUNS = 5
# The columns of runs that a row needs; another one would cost a query for each run.
RUN_COLUMNS = (
    *("id", "name", "deployment_id", "state_type", "state_name", "state_timestamp"),
    *("expected_start_time", "start_time", "end_time", "total_run_time"),
)
BROKEN = (StateType.FAILED.value, StateType.CRASHED.value)


class Health(StrEnum):
    """Whether a deployment needs attention, worst first."""

    FAILING = "failing"  # its last finished run failed or crashed
    LATE = "late"  # one of its runs is due, and has not been started
    TARDY = "tardy"  # its last finished run started late
    FINE = "fine"


RANKS = {Health.FAILING: 0, Health.LATE: 1, Health.TARDY: 2, Health.FINE: 3}


@dataclass(frozen=True, slots=True)
class DeploymentFilter:
    name: str = ""
    flow: str = ""
    tags: Sequence[str] = ()
    paused: bool | None = None
    health: Health | None = None
    worst_first: bool = True


@dataclass(frozen=True, slots=True)
class LineCursor:
    """The last line of a page. In an address it is `<rank>~<flow>/<deployment>`."""

    rank: int
    flow: str
    name: str

    def __str__(self) -> str:
        return f"{self.rank}~{self.flow}/{self.name}"

    @classmethod
    def read(cls, text: str) -> LineCursor | None:
        """Return the cursor in `text`, or None if it is invalid: an old link shows the first page."""
        rank, _, names = text.partition("~")
        flow, _, name = names.partition("/")
        return cls(int(rank), flow, name) if rank in {"0", "1", "2", "3"} and name else None


@dataclass(frozen=True, slots=True)
class DeploymentLine:
    """A deployment with its last runs, oldest first, and the next run that is planned or late."""

    deployment: Deployment
    health: Health
    last_runs: Sequence[FlowRun]
    next_run: FlowRun | None
    now: datetime

    @property
    def last_run(self) -> FlowRun | None:
        return self.last_runs[-1] if self.last_runs else None

    @property
    def shown_run(self) -> FlowRun | None:
        """Return the run whose state is shown: the last one, or for a failing deployment the failed one."""
        if self.health is not Health.FAILING:
            return self.last_run
        return next((run for run in reversed(self.last_runs) if run.state_type in BROKEN), self.last_run)

    @property
    def is_late(self) -> bool:
        return self.next_run is not None and self.next_run.state_name == LATE

    @property
    def on_time(self) -> OnTime | None:
        """Return the share of the last runs that were in time."""
        limits = Limits.of(self.deployment, vars(self.deployment)["late_after"])
        return on_time(self.last_runs, limits, self.now)

    @property
    def usual_seconds(self) -> float | None:
        return usual_seconds(self.last_runs)

    @property
    def drift_percent(self) -> int | None:
        """Return by how many percent the newest completed runs took longer than those before, if there are enough."""
        seconds = completed_seconds(self.last_runs)
        if len(seconds) < 2 * RECENT_RUNS:
            return None
        before, recent = median(seconds[:-RECENT_RUNS]), median(seconds[-RECENT_RUNS:])
        return round(100 * (recent / before - 1)) if before else None

    @property
    def drift(self) -> str:
        return drift_in_words(self.drift_percent)


@dataclass(frozen=True, slots=True)
class DeploymentsPage:
    """A page of lines. The counts are those of the filter without its health."""

    lines: Sequence[DeploymentLine]
    after: LineCursor | None
    counts: dict[str, int] = field(default_factory=dict)


def deployments_page(*, wanted: DeploymentFilter, after: LineCursor | None, now: datetime) -> DeploymentsPage:
    """Return a page of deployments, worst first or by name, starting after the cursor."""
    chosen = ranked(_matching(wanted), now)
    shown = chosen.filter(rank=RANKS[wanted.health]) if wanted.health else chosen
    names = ("flow__name", "name")
    order = ("rank", *names) if wanted.worst_first else names
    if after:
        shown = shown.filter(_beyond(after, by_rank=wanted.worst_first))
    found = list(shown.select_related("flow").defer(*LARGE).order_by(*order)[: LINES_PER_PAGE + 1])
    last = found[LINES_PER_PAGE - 1] if len(found) > LINES_PER_PAGE else None
    cursor = LineCursor(_rank_of(last), last.flow.name, last.name) if last else None
    return DeploymentsPage(lines_of(found[:LINES_PER_PAGE], now), cursor, _counts(chosen))


def deployments_without(choices: Sequence[DeploymentFilter], now: datetime) -> list[Counted]:
    """Return the number of deployments that each filter would list. One query."""
    rows = [
        ranked(_matching(one), now).filter(rank=RANKS[one.health]) if one.health else _matching(one) for one in choices
    ]
    return capped_counts(rows, COUNT_CAP)


# Columns that can be large, and that no row shows.
LARGE = ("description", "parameters", "parameter_openapi_schema", "job_variables", "pull_steps")


def worst_deployments(*, most: int, now: datetime, tags: Sequence[str] = (), flow: str = "") -> list[Deployment]:
    """Return the first deployments of the list, for `lines_with`. One query."""
    own = FlowRun.objects.filter(deployment_id=OuterRef("pk"))
    come = own.filter(~is_planned(now), expected_start_time__isnull=False).order_by("-expected_start_time")
    cut = come.values("expected_start_time")[LAST_RUNS - 1 : LAST_RUNS]
    next_run = own.filter(state_type=Literal("SCHEDULED"), run_count=0).order_by("next_scheduled_start_time")
    columns = {f"next_{name}": Subquery(next_run.values(name)[:1]) for name in NEXT_COLUMNS}
    chosen = ranked(_matching(DeploymentFilter(tags=tags, flow=flow)), now).annotate(cut=Subquery(cut), **columns)
    return list(chosen.select_related("flow").defer(*LARGE).order_by("rank", "flow__name", "name")[:most])


def where_runs_begin(deployments: Sequence[Deployment]) -> list[Bound]:
    """Return the bound of the last runs for each of `worst_deployments`."""
    return [Bound("deployment_id", one.pk, vars(one)["cut"]) for one in deployments]


def lines_with(deployments: Sequence[Deployment], runs: Sequence[FlowRun], now: datetime) -> list[DeploymentLine]:
    """Return the rows of `worst_deployments` with their runs, which are given oldest first. No query."""
    grouped: dict[UUID | None, list[FlowRun]] = defaultdict(list)
    for run in runs:
        grouped[run.deployment_id].append(run)
    healths = {rank: health for health, rank in RANKS.items()}
    return [
        DeploymentLine(one, healths[_rank_of(one)], grouped[one.pk][-LAST_RUNS:], _next_run_of(one), now)
        for one in deployments
    ]


NEXT_COLUMNS = ("id", "state_name", "next_scheduled_start_time")


def _next_run_of(deployment: Deployment) -> FlowRun | None:
    found = {name: vars(deployment)[f"next_{name}"] for name in NEXT_COLUMNS}
    return FlowRun(deployment_id=deployment.pk, state_type="SCHEDULED", **found) if found["id"] else None


def ranked(deployments: QuerySet[Deployment], now: datetime) -> QuerySet[Any]:
    """Annotate deployments with their `rank`: how the last finished run ended and started, and whether a run is late.

    And with the limit of the server: after how many seconds a run is late.
    """
    own = FlowRun.objects.filter(deployment_id=OuterRef("pk"))
    finished = own.filter(expected_start_time__lte=now, state_type__in=TERMINAL).order_by("-expected_start_time")
    late = own.filter(state_type="SCHEDULED", state_name=LATE, next_scheduled_start_time__lte=now)
    delays = finished.annotate(delay=SecondsBetween("start_time", "expected_start_time")).values("delay")
    return deployments.annotate(
        last_type=Subquery(finished.values("state_type")[:1]),
        last_delay=Subquery(delays[:1]),
        late_after=current_in_query("ORION_LATE_AFTER_SECONDS"),
    ).annotate(
        rank=Case(
            When(last_type__in=BROKEN, then=Value(RANKS[Health.FAILING])),
            When(Exists(late), then=Value(RANKS[Health.LATE])),
            When(last_delay__gt=F("late_after"), then=Value(RANKS[Health.TARDY])),
            default=Value(RANKS[Health.FINE]),
            output_field=IntegerField(),
        )
    )


def _rank_of(deployment: Deployment) -> int:
    # An annotation by `ranked`, which the model does not declare.
    rank: int = vars(deployment)["rank"]
    return rank


def _matching(wanted: DeploymentFilter) -> QuerySet[Deployment]:
    found = Deployment.objects.all()
    if wanted.name:
        found = found.filter(Q(name__icontains=wanted.name) | Q(flow__name__icontains=wanted.name))
    if wanted.flow:
        found = found.filter(flow__name=wanted.flow)
    if wanted.tags:
        found = found.filter(tags__orion_holds_all=wanted.tags)
    if wanted.paused is not None:
        found = found.filter(paused=wanted.paused)
    return found


def _beyond(after: LineCursor, *, by_rank: bool) -> Q:
    names = Q(flow__name__gt=after.flow) | Q(flow__name=after.flow, name__gt=after.name)
    return Q(rank__gt=after.rank) | (Q(rank=after.rank) & names) if by_rank else names


def _counts(chosen: QuerySet[Any]) -> dict[str, int]:
    return chosen.aggregate(
        all=Count("pk"),
        failing=Count("pk", filter=Q(rank=RANKS[Health.FAILING])),
        late=Count("pk", filter=Q(rank=RANKS[Health.LATE])),
        paused=Count("pk", filter=Q(paused=True)),
    )


def lines_of(deployments: Sequence[Deployment], now: datetime) -> list[DeploymentLine]:
    """Return the rows of these deployments, which `ranked` has annotated, with four queries."""
    ids = [one.pk for one in deployments]
    runs, planned = last_runs_of(ids, now), next_runs_of(ids)
    healths = {rank: health for health, rank in RANKS.items()}
    return [
        DeploymentLine(one, healths[_rank_of(one)], runs.get(one.pk, []), planned.get(one.pk), now)
        for one in deployments
    ]


def last_runs_of(deployment_ids: Sequence[UUID], now: datetime) -> dict[UUID, list[FlowRun]]:
    """Return the last runs of each deployment, oldest first and without planned ones, with two queries."""
    bounds = _where_last_runs_begin(deployment_ids, now)
    grouped: dict[UUID, list[FlowRun]] = defaultdict(list)
    for run in come_within(bounds, now, *RUN_COLUMNS):
        if run.deployment_id:
            grouped[run.deployment_id].append(run)
    return {deployment_id: runs[-LAST_RUNS:] for deployment_id, runs in grouped.items()}


def _where_last_runs_begin(deployment_ids: Sequence[UUID], now: datetime) -> list[Bound]:
    # Find the start of each deployment's thirtieth newest run by an index. For deployments with fewer runs, read all.
    come = FlowRun.objects.filter(~is_planned(now), deployment_id=OuterRef("pk"), expected_start_time__isnull=False)
    starts = come.order_by("-expected_start_time").values("expected_start_time")
    cuts = Deployment.objects.filter(pk__in=deployment_ids).annotate(cut=Subquery(starts[LAST_RUNS - 1 : LAST_RUNS]))
    return [Bound("deployment_id", one, cut) for one, cut in cuts.order_by().values_list("pk", "cut")]


def next_runs_of(deployment_ids: Sequence[UUID]) -> dict[UUID, FlowRun]:
    """Return the next run of each deployment, which may be late, with two queries."""
    # A run that waits for a retry has started, so it is not the next one.
    waiting = FlowRun.objects.filter(deployment_id=OuterRef("pk"), state_type="SCHEDULED", run_count=0)
    first = waiting.order_by("next_scheduled_start_time").values("pk")[:1]
    chosen = Deployment.objects.filter(pk__in=deployment_ids).annotate(next=Subquery(first)).order_by()
    ids = [one for one in chosen.values_list("next", flat=True) if one]
    columns = ("id", "name", "deployment_id", "state_type", "state_name", "next_scheduled_start_time")
    runs = FlowRun.objects.filter(pk__in=ids).only(*columns) if ids else []
    return {run.deployment_id: run for run in runs if run.deployment_id}


def duration_of(run: FlowRun, now: datetime) -> timedelta:
    """Return how long the run has been running, up to now if it still is. It may have started after `now`."""
    moving = run.state_type == StateType.RUNNING and run.state_timestamp
    return run.total_run_time + (max(now - moving, timedelta()) if moving else timedelta())
