"""One dense row for each flow: its last runs, how long they take and whether that changes, and what comes next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from statistics import median
from uuid import UUID

from django.db.models import Case, IntegerField, OuterRef, Q, Subquery, Value, When

from orionflow.contract.states import BAD, TERMINAL, StateType
from runs.models import Flow, FlowRun
from runs.pages.selectors.runs import is_planned
from runs.querysets import Literal

RUNS_SHOWN = 30
ROWS_SHOWN = 30
# Drift compares so many of the newest completed runs with those before them.
DRIFT_OF = 8
PLANNED_LOOKED_AT = 200
COLUMNS = ("id", "name", "tags", "flow_id", "state_type", "state_name", "start_time", "total_run_time")


@dataclass(frozen=True, slots=True)
class FlowRow:
    """A flow with its last runs, oldest first, and its next planned one."""

    flow: Flow
    runs: Sequence[FlowRun]
    next_run: FlowRun | None

    @property
    def last_run(self) -> FlowRun | None:
        return self.runs[-1] if self.runs else None

    @property
    def failed(self) -> int:
        return sum(run.state_type in BAD for run in self.runs)

    @property
    def completed(self) -> list[float]:
        return [run.total_run_time.total_seconds() for run in self.runs if run.state_type == StateType.COMPLETED]

    @property
    def finished(self) -> int:
        return sum(run.state_type in TERMINAL for run in self.runs)

    @property
    def median_seconds(self) -> float | None:
        return median(self.completed) if self.completed else None

    @property
    def drift_percent(self) -> int | None:
        """By how much the newest completed runs took longer than those before; None while there are too few."""
        seconds = self.completed
        if len(seconds) < 2 * DRIFT_OF:
            return None
        before = median(seconds[:-DRIFT_OF])
        return round(100 * (median(seconds[-DRIFT_OF:]) / before - 1)) if before else None

    @property
    def drift_size(self) -> int:
        return abs(self.drift_percent or 0)

    @property
    def badness(self) -> tuple[bool, int]:
        """The order of rows: those whose last run failed stand first, then those with more failures."""
        last = next((run for run in reversed(self.runs) if run.state_type in TERMINAL), None)
        return (last is not None and last.state_type in BAD, self.failed)


def flow_rows(
    *, first: Collection[UUID], planned: Sequence[FlowRun], now: datetime, tag: str = "", deployed: bool = True
) -> list[FlowRow]:
    """Return rows of the flows that are named first, and of others by name; the worst first. Two queries.

    `deployed` says whether flows that have deployments are among them.
    """
    flows = _chosen(first, deployed, now)
    runs = _last_runs(flows, now)
    next_runs: dict[UUID, FlowRun] = {}
    for run in planned:
        next_runs.setdefault(run.flow_id, run)
    rows = []
    for flow in flows:
        shown = [run for run in runs.get(flow.pk, ()) if not tag or tag in run.tags]
        if shown or not tag:
            rows.append(FlowRow(flow, shown, next_runs.get(flow.pk)))
    return sorted(rows, key=lambda row: row.badness, reverse=True)


def _chosen(first: Collection[UUID], deployed: bool, now: datetime) -> list[Flow]:
    rank = Case(When(pk__in=list(first), then=Value(0)), default=Value(1), output_field=IntegerField())
    flows = Flow.objects.all() if deployed else Flow.objects.filter(deployments__isnull=True)
    chosen = flows.alias(rank=rank).order_by("rank", "name").values("pk")[:ROWS_SHOWN]
    # When the oldest of the runs begins that are shown: off the index, however many there are.
    come = FlowRun.objects.filter(~is_planned(now), flow=OuterRef("pk"), expected_start_time__isnull=False)
    starts = come.order_by("-expected_start_time").values("expected_start_time")
    cut = Subquery(starts[RUNS_SHOWN - 1 : RUNS_SHOWN])
    return list(Flow.objects.filter(pk__in=Subquery(chosen)).annotate(cut=cut).order_by("name"))


def _last_runs(flows: Sequence[Flow], now: datetime) -> Mapping[UUID, Sequence[FlowRun]]:
    if not flows:
        return {}
    bounds = [Q(flow=flow.pk, expected_start_time__isnull=False) & _from(flow) for flow in flows]
    grouped: dict[UUID, list[FlowRun]] = defaultdict(list)
    runs = FlowRun.objects.filter(reduce(or_, bounds), ~is_planned(now)).only(*COLUMNS)
    for run in runs.order_by("expected_start_time", "id"):
        grouped[run.flow_id].append(run)
    return {flow_id: found[-RUNS_SHOWN:] for flow_id, found in grouped.items()}


def _from(flow: Flow) -> Q:
    cut = getattr(flow, "cut", None)
    return Q(expected_start_time__gte=cut) if cut else Q()


def planned_runs(*, now: datetime, within: timedelta, tag: str = "") -> list[FlowRun]:
    """Return the runs that are planned from now on, soonest first. One query."""
    due = FlowRun.objects.filter(
        state_type=Literal("SCHEDULED"), next_scheduled_start_time__gt=now, next_scheduled_start_time__lte=now + within
    )
    columns = (
        "id",
        "name",
        "tags",
        "flow_id",
        "flow__name",
        "state_name",
        "next_scheduled_start_time",
        "deployment_id",
    )
    runs = due.select_related("flow").only(*columns).order_by("next_scheduled_start_time", "id")
    return [run for run in runs[:PLANNED_LOOKED_AT] if not tag or tag in run.tags]
