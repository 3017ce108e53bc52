"""The list of flows with their last runs, and the page of one flow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import OuterRef, Subquery

from orchestration.core.states import TERMINAL
from runs.models import Flow, FlowRun
from runs.pages.selectors.bounds import Bound, come_within
from runs.pages.selectors.flow_history import Duration, LastRuns, last_runs_of_flow
from runs.pages.selectors.keyset import Cursor, Page, page_of
from runs.pages.selectors.runs import is_planned, rows_of_runs, state_reasons

FLOWS_PER_PAGE = 40
LAST_RUNS = 12
RUNS_PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class FlowLine:
    """A flow and its last runs, oldest first."""

    flow: Flow
    last_runs: Sequence[FlowRun]

    @property
    def last_run(self) -> FlowRun | None:
        return self.last_runs[-1] if self.last_runs else None


@dataclass(frozen=True, slots=True)
class FlowsPage:
    lines: Sequence[FlowLine]
    after: str


def flows_page(*, name: str, after: str, now: datetime) -> FlowsPage:
    """Return flows by name, starting after the name `after`."""
    flows = Flow.objects.order_by("name")
    if name:
        flows = flows.filter(name__icontains=name)
    if after:
        flows = flows.filter(name__gt=after)
    found = list(flows[: FLOWS_PER_PAGE + 1])
    shown = found[:FLOWS_PER_PAGE]
    runs = last_runs_of([flow.id for flow in shown], now)
    lines = [FlowLine(flow, runs[flow.id]) for flow in shown]
    return FlowsPage(lines, shown[-1].name if len(found) > FLOWS_PER_PAGE else "")


def last_runs_of(flow_ids: Sequence[UUID], now: datetime) -> dict[UUID, list[FlowRun]]:
    """Return the last few runs of each flow, without planned ones. Two queries."""
    grouped: dict[UUID, list[FlowRun]] = defaultdict(list)
    columns = ("id", "name", "flow_id", "state_type", "state_name", "expected_start_time")
    for run in come_within(_where_last_runs_begin(flow_ids, now), now, *columns):
        grouped[run.flow_id].append(run)
    return defaultdict(list, {flow_id: runs[-LAST_RUNS:] for flow_id, runs in grouped.items()})


def _where_last_runs_begin(flow_ids: Sequence[UUID], now: datetime) -> list[Bound]:
    # For each flow the start of its twelfth newest run, from the index; flows with fewer runs are read entirely.
    come = FlowRun.objects.filter(~is_planned(now), expected_start_time__isnull=False)
    newest_first = come.filter(flow=OuterRef("pk"))
    starts = newest_first.order_by("-expected_start_time").values("expected_start_time")
    cuts = Flow.objects.filter(pk__in=flow_ids).annotate(cut=Subquery(starts[LAST_RUNS - 1 : LAST_RUNS]))
    return [Bound("flow_id", flow_id, cut) for flow_id, cut in cuts.order_by().values_list("pk", "cut")]


@dataclass(frozen=True, slots=True)
class FlowPage:
    """A flow, its last runs, of which the newest are drawn, and a page of its runs."""

    flow: Flow
    last: LastRuns
    page: Page[FlowRun]
    reasons: dict[str, str]
    next_run: FlowRun | None

    @property
    def trend(self) -> Sequence[FlowRun]:
        return self.last.trend

    @property
    def finished(self) -> list[FlowRun]:
        return [run for run in self.trend if run.state_type in TERMINAL]

    @property
    def last_state(self) -> str:
        return (self.trend[-1].state_name or "").lower() if self.trend else ""

    @property
    def success_percent(self) -> int | None:
        finished = self.finished
        if not finished:
            return None
        return round(100 * sum(run.state_type == "COMPLETED" for run in finished) / len(finished))

    @property
    def usual(self) -> Duration | None:
        return self.last.duration(50)

    @property
    def longest(self) -> Duration | None:
        """How long at most nineteen of twenty runs take."""
        return self.last.duration(95)


def flow_page(*, flow_id: UUID, after: Cursor | None, now: datetime, size: int = RUNS_PER_PAGE) -> FlowPage | None:
    """Return the page of a flow: its past runs, newest first, and the next planned run."""
    flow = Flow.objects.filter(pk=flow_id).first()
    if flow is None:
        return None
    of_flow = FlowRun.objects.filter(flow=flow, expected_start_time__isnull=False)
    runs = rows_of_runs(of_flow.filter(~is_planned(now)))
    next_run = of_flow.filter(is_planned(now)).order_by("expected_start_time").only("id", "expected_start_time").first()
    page = page_of(runs, by="expected_start_time", after=after, size=size)
    return FlowPage(flow, last_runs_of_flow(flow_id=flow_id, now=now), page, state_reasons(page.rows), next_run)
