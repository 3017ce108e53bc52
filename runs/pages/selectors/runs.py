"""The list of flow runs, its filters, and the one line that says why a run is where it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import BooleanField, Q, QuerySet
from django.db.models.expressions import RawSQL

from orchestration.core.states import StateType
from runs.models import FlowRun, FlowRunState
from runs.pages.selectors.keyset import Count, Cursor, Page, capped_count, merged, page_of

PAGE_SIZE = 50
BY = "expected_start_time"
# A search by tag or name looks at so many runs and then says how far it came.
SEARCHED = 30_000
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
    """The filter of the list. `since` reaches back from now."""

    states: tuple[StateType, ...] = ()
    flow: str = ""
    tag: str = ""
    name: str = ""
    since: timedelta | None = None

    @property
    def shows_planned(self) -> bool:
        """Whether runs of the future are asked for; any other list begins with what has come."""
        return self.states == (StateType.SCHEDULED,)

    @property
    def searches(self) -> bool:
        """Whether rows must be looked at one by one: no index knows tags or parts of names."""
        return bool(self.tag or self.name)

    def by_state(self) -> list[RunFilter]:
        """One filter for each state: the index that has their runs in order has them for one state at a time."""
        return [replace(self, states=(state,)) for state in self.states] if len(self.states) > 1 else [self]


def is_planned(now: datetime) -> Q:
    """Whether a run is an intention: scheduled for a time to come. One that was taken up early is none."""
    return Q(state_type=StateType.SCHEDULED, expected_start_time__gt=now)


@dataclass(frozen=True, slots=True)
class RunsPage:
    """One page of the list, and how many runs are planned beside it. No counts where they would read the table."""

    page: Page[FlowRun]
    count: Count | None
    planned: Count | None
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def was_cut_short(self) -> bool:
        """Whether the search ended before the page was full, with older runs left to look at."""
        return self.page.after is not None and len(self.page.rows) < PAGE_SIZE


def runs_page(*, wanted: RunFilter, after: Cursor | None, now: datetime) -> RunsPage:
    """A page of what has come, newest first. Planned runs are counted, and listed only where they are asked for."""
    parts = [indexed_runs(one, now) for one in wanted.by_state()]
    if not wanted.shows_planned:
        parts = [part.filter(expected_start_time__lte=now) for part in parts] + taken_up_early(wanted, now)
    pages = [_part(part, wanted, after, look_at=SEARCHED // len(parts)) for part in parts]
    page = merged(pages, by=BY, size=PAGE_SIZE)
    if wanted.searches:
        return RunsPage(page, None, None, told_reasons(page.rows))
    return RunsPage(page, *_counts(wanted, now), told_reasons(page.rows))


def taken_up_early(wanted: RunFilter, now: datetime) -> list[QuerySet[FlowRun]]:
    """Runs of a time to come that are no longer planned: few, and found by their states."""
    states = tuple(sorted(set(wanted.states or StateType) - {StateType.SCHEDULED}))
    return [indexed_runs(replace(wanted, states=states), now).filter(expected_start_time__gt=now)] if states else []


def _counts(wanted: RunFilter, now: datetime) -> tuple[Count, Count | None]:
    """How many runs are listed, but for the few that were taken up early, and how many are planned beside them."""
    runs = indexed_runs(wanted, now)
    if wanted.shows_planned:
        return capped_count(runs), None
    return capped_count(runs.filter(expected_start_time__lte=now)), planned_count(wanted, now)


def planned_count(wanted: RunFilter, now: datetime) -> Count | None:
    """How many runs the filter would list if it asked for planned ones; None where it asks for other states."""
    if wanted.states and StateType.SCHEDULED not in wanted.states:
        return None
    return capped_count(indexed_runs(replace(wanted, states=(), since=None), now).filter(is_planned(now)))


def _part(runs: QuerySet[FlowRun], wanted: RunFilter, after: Cursor | None, *, look_at: int) -> Page[FlowRun]:
    if not wanted.searches:
        return page_of(rows_of_runs(runs), by=BY, after=after, size=PAGE_SIZE)
    end = _end_of_search(runs, after, look_at)
    found = searched(runs.filter(expected_start_time__gte=end) if end else runs, wanted)
    page = page_of(rows_of_runs(found), by=BY, after=after, size=PAGE_SIZE)
    return Page(page.rows, page.after or (Cursor.below_all_at(end) if end else None))


def _end_of_search(runs: QuerySet[FlowRun], after: Cursor | None, look_at: int) -> datetime | None:
    """How far back one request looks; None when it can look at everything."""
    # Nothing but the time: so the index alone answers, however many runs it steps over.
    times = runs.order_by(f"-{BY}").values_list(BY, flat=True)
    if after:
        times = times.filter(expected_start_time__lt=after.at)
    return next(iter(times[look_at : look_at + 1]), None)


def rows_of_runs(runs: QuerySet[FlowRun]) -> QuerySet[FlowRun]:
    return runs.select_related("flow").only(*ROW_COLUMNS)


def indexed_runs(wanted: RunFilter, now: datetime) -> QuerySet[FlowRun]:
    runs = FlowRun.objects.filter(expected_start_time__isnull=False)
    if wanted.states:
        runs = runs.in_state(*wanted.states)
    if wanted.flow:
        runs = runs.filter(flow__name=wanted.flow)
    if wanted.since is not None:
        runs = runs.filter(expected_start_time__gte=now - wanted.since)
    return runs


def searched(runs: QuerySet[FlowRun], wanted: RunFilter) -> QuerySet[FlowRun]:
    if wanted.name:
        runs = runs.filter(name__icontains=wanted.name)
    return tagged(runs, wanted.tag) if wanted.tag else runs


def tagged(runs: QuerySet[FlowRun], tag: str) -> QuerySet[FlowRun]:
    if connection.vendor == "postgresql":
        return runs.filter(tags__contains=[tag])
    has_tag = 'EXISTS (SELECT 1 FROM json_each("runs_flowrun"."tags") WHERE json_each.value = %s)'
    return runs.filter(RawSQL(has_tag, [tag], output_field=BooleanField()))


def told_reasons(runs: Iterable[FlowRun]) -> dict[str, str]:
    """By run id: what the current state says of itself, or why the last proposal was refused. One query for all."""
    told = [run for run in runs if run.state_type in TOLD_IN_LISTS]
    states = FlowRunState.objects.filter(pk__in=[run.state_id for run in told])
    messages: dict[UUID | None, str | None] = dict(states.values_list("id", "message"))
    return {str(run.id): messages.get(run.state_id) or (run.refusal or {}).get("reason") or "" for run in told}
