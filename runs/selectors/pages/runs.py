"""The list of flow runs, its filters, and the one line that says why a run is where it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from orchestration.core.states import StateType
from runs.models import FlowRun, FlowRunState
from runs.selectors.pages.keyset import Count, Cursor, Page, capped_count, page_of

PAGE_SIZE = 50
# Enough of each run for a row; parameters and context can be large.
ROW_COLUMNS = (
    "id",
    "name",
    "tags",
    "seq",
    "state_id",
    "state_type",
    "state_name",
    "state_timestamp",
    "run_count",
    "expected_start_time",
    "start_time",
    "end_time",
    "total_run_time",
    "refusal",
    "flow_id",
    "flow__name",
)
TOLD_IN_LISTS = {StateType.FAILED, StateType.CRASHED, StateType.CANCELLED, StateType.SCHEDULED, StateType.PAUSED}


@dataclass(frozen=True, slots=True)
class RunFilter:
    """What the list was asked for. `since` reaches back from now."""

    states: tuple[StateType, ...] = ()
    flow: str = ""
    tag: str = ""
    name: str = ""
    since: timedelta | None = None

    @property
    def is_indexed(self) -> bool:
        """Whether matching rows can be counted from an index alone."""
        return not (self.tag or self.name)


@dataclass(frozen=True, slots=True)
class RunsPage:
    """One page of the list. `count` is None where counting would mean reading the table."""

    page: Page[FlowRun]
    count: Count | None
    reasons: dict[str, str] = field(default_factory=dict)


def runs_page(*, wanted: RunFilter, after: Cursor | None, now: datetime) -> RunsPage:
    matching = matching_runs(wanted, now)
    page = page_of(rows_of_runs(matching), by="expected_start_time", after=after, size=PAGE_SIZE)
    count = capped_count(matching) if wanted.is_indexed else None
    return RunsPage(page, count, told_reasons(page.rows))


def rows_of_runs(runs: QuerySet[FlowRun]) -> QuerySet[FlowRun]:
    return runs.select_related("flow").only(*ROW_COLUMNS)


def matching_runs(wanted: RunFilter, now: datetime) -> QuerySet[FlowRun]:
    runs = FlowRun.objects.filter(expected_start_time__isnull=False)
    if wanted.states:
        runs = runs.in_state(*wanted.states)
    if wanted.flow:
        runs = runs.filter(flow__name=wanted.flow)
    if wanted.name:
        runs = runs.filter(name__icontains=wanted.name)
    if wanted.since is not None:
        runs = runs.filter(expected_start_time__gte=now - wanted.since)
    if wanted.tag:
        runs = tagged(runs, wanted.tag)
    return runs


def tagged(runs: QuerySet[FlowRun], tag: str) -> QuerySet[FlowRun]:
    if connection.vendor == "postgresql":
        return runs.filter(tags__contains=[tag])
    has_tag = 'EXISTS (SELECT 1 FROM json_each("runs_flowrun"."tags") WHERE json_each.value = %s)'
    return runs.filter(RawSQL(has_tag, [tag], output_field=BooleanField()))


def told_reasons(runs: Iterable[FlowRun]) -> dict[str, str]:
    """By run id: what the current state says of itself, or why the last proposal was refused. One query for all."""
    told = [run for run in runs if run.state_type in TOLD_IN_LISTS]
    messages = dict(FlowRunState.objects.filter(pk__in=[run.state_id for run in told]).values_list("id", "message"))
    return {str(run.id): messages.get(run.state_id) or (run.refusal or {}).get("reason") or "" for run in told}
