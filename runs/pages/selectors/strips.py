"""One compact row for each flow: its last runs, their durations, the change of these, and the next planned run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from uuid import UUID

from django.db.models import Case, IntegerField, OuterRef, Subquery, Value, When

from orionflow.contract.states import BAD, TERMINAL, StateType
from runs.models import Flow, FlowRun
from runs.pages.selectors.bounds import Bound
from runs.pages.selectors.runs import is_planned

RUNS_SHOWN = 30
ROWS_SHOWN = 30
# The number of newest completed runs that are compared with the ones before them.
DRIFT_OF = 8
STEADY_PERCENT = 10


def completed_seconds(runs: Iterable[FlowRun]) -> list[float]:
    """Return the durations of the completed runs. Failed and cancelled ones say nothing about how long a run takes."""
    return [run.total_run_time.total_seconds() for run in runs if run.state_type == StateType.COMPLETED]


def usual_seconds(runs: Iterable[FlowRun]) -> float | None:
    """Return the usual duration: the median of the completed runs, or None if there are none."""
    seconds = completed_seconds(runs)
    return median(seconds) if seconds else None


def drift_in_words(percent: int | None) -> str:
    """Return the comparison as text: `▲ 40 % slower`, `steady`; empty if there are too few runs."""
    if percent is None:
        return ""
    if abs(percent) < STEADY_PERCENT:
        return "steady"
    return f"▲ {percent} % slower" if percent > 0 else f"▼ {-percent} % faster"


@dataclass(frozen=True, slots=True)
class FlowRow:
    """A flow with its last runs, oldest first, and its next planned run."""

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
    def finished(self) -> int:
        return sum(run.state_type in TERMINAL for run in self.runs)

    @property
    def usual_seconds(self) -> float | None:
        return usual_seconds(self.runs)

    @property
    def drift_percent(self) -> int | None:
        """By how many percent the newest completed runs took longer than those before; None if there are too few."""
        seconds = completed_seconds(self.runs)
        if len(seconds) < 2 * DRIFT_OF:
            return None
        before = median(seconds[:-DRIFT_OF])
        return round(100 * (median(seconds[-DRIFT_OF:]) / before - 1)) if before else None

    @property
    def drift(self) -> str:
        return drift_in_words(self.drift_percent)

    @property
    def badness(self) -> tuple[bool, int]:
        """The sort key of rows: flows whose last run failed first, then by the number of failures."""
        last = next((run for run in reversed(self.runs) if run.state_type in TERMINAL), None)
        return (last is not None and last.state_type in BAD, self.failed)


def chosen_flows(*, first: Collection[UUID], now: datetime) -> list[Flow]:
    """Return flows without deployments, those in `first` before the others, for `rows_with`. One query."""
    rank = Case(When(pk__in=list(first), then=Value(0)), default=Value(1), output_field=IntegerField())
    flows = Flow.objects.filter(deployments__isnull=True)
    chosen = flows.alias(rank=rank).order_by("rank", "name").values("pk")[:ROWS_SHOWN]
    # The start of the oldest run that is shown, from the index.
    come = FlowRun.objects.filter(~is_planned(now), flow=OuterRef("pk"), expected_start_time__isnull=False)
    starts = come.order_by("-expected_start_time").values("expected_start_time")
    cut = Subquery(starts[RUNS_SHOWN - 1 : RUNS_SHOWN])
    return list(Flow.objects.filter(pk__in=Subquery(chosen)).annotate(cut=cut).order_by("name"))


def where_runs_begin(flows: Sequence[Flow]) -> list[Bound]:
    """Return the bounds of the last runs of each of `chosen_flows`."""
    return [Bound("flow_id", flow.pk, getattr(flow, "cut", None)) for flow in flows]


def rows_with(
    flows: Sequence[Flow], runs: Sequence[FlowRun], planned: Sequence[FlowRun], tags: Sequence[str] = ()
) -> list[FlowRow]:
    """Return the rows of `chosen_flows`, the worst first. The runs must be sorted, oldest first. No query."""
    grouped: dict[UUID, list[FlowRun]] = defaultdict(list)
    for run in runs:
        grouped[run.flow_id].append(run)
    next_runs: dict[UUID, FlowRun] = {}
    for run in planned:
        next_runs.setdefault(run.flow_id, run)
    rows = []
    for flow in flows:
        shown = [run for run in grouped[flow.pk][-RUNS_SHOWN:] if set(tags) <= set(run.tags)]
        if shown or not tags:
            rows.append(FlowRow(flow, shown, next_runs.get(flow.pk)))
    return sorted(rows, key=lambda row: row.badness, reverse=True)
