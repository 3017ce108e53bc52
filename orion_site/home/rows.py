"""The rows of the home page: deployments, and flows without one. One query reads all their runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from deployments.pages.selectors import deployment_lines
from deployments.pages.selectors.deployment_lines import DeploymentLine
from runs.models import FlowRun
from runs.pages.selectors import strips
from runs.pages.selectors.bounds import come_within
from runs.pages.selectors.strips import FlowRow
from runs.pages.selectors.usual import Origin, Usual, last_runs_of, usual_among

DEPLOYMENTS_SHOWN = 30
COLUMNS = (*deployment_lines.RUN_COLUMNS, "tags", "flow_id")


def rows(
    *, first: Collection[UUID], planned: Sequence[FlowRun], others: Iterable[Origin], now: datetime, tags: Sequence[str]
) -> tuple[list[DeploymentLine], list[FlowRow], Usual]:
    """Return both kinds of rows, the worst first; `first` are flows that must be included. Three queries.

    Also return the usual durations of the deployments and flows of other runs.
    """
    deployments = deployment_lines.worst_deployments(most=DEPLOYMENTS_SHOWN, now=now, tags=tags)
    flows = strips.chosen_flows(first=first, now=now)
    bounds = [*deployment_lines.where_runs_begin(deployments), *strips.where_runs_begin(flows)]
    last_of = last_runs_of(others)
    runs = come_within(bounds, now, *COLUMNS, last_of=last_of)
    lines = deployment_lines.lines_with(deployments, runs, now)
    return lines, strips.rows_with(flows, runs, planned, tags), usual_among(last_of, runs)
