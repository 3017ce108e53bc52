"""The list of flow runs, its filters, and the line that says why a run is in its state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet

from orchestration.core.states import TERMINAL, StateType
from orionflow.contract.states import BAD, LATE
from runs.lists.filters.conditions import is_tagged_with_all, is_tagged_with_any
from runs.models import FlowRun, FlowRunState, FlowRunTag
from runs.pages.selectors.conditions import GivenParameter, has_parameter, is_claimed_by
from runs.pages.selectors.failures import runs_with_error
from runs.pages.selectors.keyset import Count, Cursor, Page, capped_count, capped_counts, merged, page_of
from runs.pages.selectors.reach import BY, Reach, ended_short, reach_of
from runs.problems.selectors import failed_by, is_failed_by, runs_failed_by
from runs.querysets import Literal as LiteralValue

PAGE_SIZE = 50
# A search by tag or name reads at most this many rows, and then shows how far back it came.
SEARCHED = 30_000
# How far back a filter by error reaches by default.
ERRORS_REACH_BACK = timedelta(days=7)
# The counts of the choices of states stop here.
CHOICE_CAP = 1_000
# Up to this number of runs of a problem, their ids are listed in each statement; SQLite binds at most 32,766 values.
FEW_IDS = 1_000
# The columns that a row shows; parameters and context can be large.
ROW_COLUMNS = (
    *("id", "name", "tags", "seq", "state_id", "state_type", "state_name", "state_timestamp", "run_count"),
    *("expected_start_time", "start_time", "end_time", "total_run_time", "refusal"),
    *("flow_id", "deployment_id", "flow__name"),
)
EXPLAINED_IN_LISTS = {StateType.FAILED, StateType.CRASHED, StateType.CANCELLED, StateType.SCHEDULED, StateType.PAUSED}


@dataclass(frozen=True, slots=True)
class RunFilter:
    """The filter of the list. `since` and `until` are periods before now, or moments.

    `names` restrict a type of state to states with certain names, such as (SCHEDULED, LATE).
    """

    states: tuple[StateType, ...] = ()
    names: tuple[tuple[StateType, str], ...] = ()
    # Every state is excluded; no states at all mean any.
    in_no_state: bool = False
    flow: str = ""
    tags: tuple[str, ...] = ()
    name: str = ""
    since: timedelta | datetime | None = None
    until: timedelta | datetime | None = None
    # Runs whose time has come, but which have not started; of one queue, or of one deployment and no queue.
    waiting: bool = False
    # Only runs planned for the future.
    planned: bool = False
    queue: UUID | None = None
    without_queue: bool = False
    deployment: UUID | None = None
    error: str = ""
    problem: UUID | None = None
    # The problem by which runs are failed now. `resolved` sets it.
    failed_now_by: UUID | None = None
    ids: tuple[UUID, ...] | None = None
    without_tags: tuple[str, ...] = ()
    without_flows: tuple[str, ...] = ()
    longer_than: timedelta | None = None
    shorter_than: timedelta | None = None
    # Names or ids of agents, of which each claimed the run.
    agents: tuple[str, ...] = ()
    parameters: tuple[GivenParameter, ...] = ()

    @property
    def shows_planned(self) -> bool:
        """Whether the list shows future runs; other lists start with past ones."""
        is_scheduled = self.states == (StateType.SCHEDULED,)
        return (
            self.waiting
            or self.planned
            or self.ids is not None
            or (is_scheduled and (StateType.SCHEDULED, LATE) not in self.names)
        )

    @property
    def searches(self) -> bool:
        """Whether rows must be read one by one: no index covers tags, parts of names, durations, agents, parameters."""
        seldom = any(state in TERMINAL for state, _ in self.names)
        by_row = self.tags or self.name or self.without_tags or self.without_flows
        stored_beside = self.agents or self.parameters
        return bool(by_row or stored_beside or seldom or self.longer_than or self.shorter_than)

    @property
    def cause(self) -> UUID | None:
        """The problem, if only failed runs are asked for: they are failed by it now, not in an earlier attempt only."""
        return self.problem if self.states and BAD.issuperset(self.states) else None

    def in_any_state(self) -> RunFilter:
        """Return the filter without its choice of states."""
        return replace(self, states=(), names=(), in_no_state=False, waiting=False, planned=False)

    def by_state(self) -> list[RunFilter]:
        """Return one filter for each state: the index has the runs in order only within one state."""
        return [replace(self, states=(state,)) for state in self.states] if len(self.states) > 1 else [self]

    def starts_after(self, now: datetime) -> datetime | None:
        return now - self.since if isinstance(self.since, timedelta) else self.since

    def ends_before(self, now: datetime) -> datetime | None:
        return now - self.until if isinstance(self.until, timedelta) else self.until

    def is_past(self, now: datetime) -> bool:
        """Whether the period ends before now, so that no planned run is in it."""
        until = self.ends_before(now)
        return until is not None and until <= now


def is_planned(now: datetime) -> Q:
    """Return the condition for runs that are scheduled for the future. Runs that were started early do not match."""
    return Q(state_type=StateType.SCHEDULED, expected_start_time__gt=now)


@dataclass(frozen=True, slots=True)
class RunsPage:
    """One page of the list, and the number of planned runs. No counts where counting would read the table."""

    page: Page[FlowRun]
    count: Count | None
    planned: Count | None
    reasons: dict[str, str] = field(default_factory=dict)
    size: int = PAGE_SIZE
    reaches: Sequence[Reach] = ()

    @property
    def was_cut_short(self) -> bool:
        """Whether the search ended before the page was full and older runs were searched."""
        return self.page.after is not None and len(self.page.rows) < self.size

    @property
    def read_large_parameters(self) -> bool:
        """Whether the search would have come further with smaller parameters."""
        return self.was_cut_short and ended_short(self.reaches, self.page.after)


def runs_page(
    *, wanted: RunFilter, after: Cursor | None, now: datetime, size: int = PAGE_SIZE, further: Sequence[str] = ()
) -> RunsPage:
    """Return a page of past runs, newest first. Planned runs are counted, but listed only on request."""
    wanted = resolved(wanted, now)
    page, reaches = page_of_runs(wanted, after, now, size, further)
    counts: tuple[Count | None, Count | None] = (None, None) if wanted.searches else _counts(wanted, now)
    return RunsPage(page, *counts, state_reasons(page.rows), size, reaches)


def page_of_runs(
    wanted: RunFilter, after: Cursor | None, now: datetime, size: int, further: Sequence[str] = ()
) -> tuple[Page[FlowRun], Sequence[Reach]]:
    """Return a page of a filter that is resolved, with further columns than those of each list, and its reaches."""
    parts = parts_of(wanted, now)
    if not wanted.searches:
        pages = [page_of(rows_of_runs(part, *further), by=BY, after=after, size=size) for part in parts]
        return merged(pages, by=BY, size=size), ()
    reaches = [reach_of_runs(part, wanted, after, share=1 / len(parts)) for part in parts]
    pages = [_searched(*one, wanted, after, size, now, further) for one in zip(parts, reaches, strict=True)]
    return merged(pages, by=BY, size=size), reaches


def parts_of(wanted: RunFilter, now: datetime) -> list[QuerySet[FlowRun]]:
    """Return the runs of a filter in parts, each in the order of an index; other conditions are not applied yet."""
    parts = [indexed_runs(one, now) for one in wanted.by_state()]
    if wanted.shows_planned:
        return parts
    return [_come(part, wanted, now) for part in parts] + taken_up_early(wanted, now)


def _come(runs: QuerySet[FlowRun], wanted: RunFilter, now: datetime) -> QuerySet[FlowRun]:
    """Return the runs expected up to now. A filter that ends earlier needs no other bound.

    Given two bounds, SQLite starts an index scan at the first.
    """
    return runs if wanted.is_past(now) else runs.filter(expected_start_time__lte=now)


def resolved(wanted: RunFilter, now: datetime) -> RunFilter:
    """Replace a filter by error or problem by the ids of the runs that failed by it."""
    if (problem := wanted.problem) is not None:
        wanted = replace(wanted, failed_now_by=wanted.cause)
        found = runs_failed_by(problem, most=FEW_IDS + 1)
        if len(found) <= FEW_IDS:
            wanted = replace(wanted, problem=None, ids=_among(wanted, found))
    if not wanted.error:
        return wanted
    found, _ = runs_with_error(key=wanted.error, since=errors_since(wanted, now), tags=wanted.tags)
    return replace(wanted, error="", ids=_among(wanted, found))


def _among(wanted: RunFilter, found: Sequence[UUID]) -> tuple[UUID, ...]:
    return tuple(found if wanted.ids is None else set(found).intersection(wanted.ids))


def errors_since(wanted: RunFilter, now: datetime) -> datetime:
    """Return the moment since when failures are searched for those of an error."""
    return wanted.starts_after(now) or now - ERRORS_REACH_BACK


def taken_up_early(wanted: RunFilter, now: datetime) -> list[QuerySet[FlowRun]]:
    """Return runs expected in the future that are no longer planned. They are few, and found by their states."""
    states = tuple(sorted(set(wanted.states or StateType) - {StateType.SCHEDULED}))
    if not states or wanted.is_past(now):
        return []
    # Only the later bound: SQLite starts an index scan at the bound that comes first in the statement.
    since = wanted.starts_after(now)
    is_in_range = Q(expected_start_time__gte=since) if since and since > now else Q(expected_start_time__gt=now)
    return [indexed_runs(replace(wanted, states=states, since=None), now).filter(is_in_range)]


def _counts(wanted: RunFilter, now: datetime) -> tuple[Count, Count | None]:
    """Return the number of listed runs, without the few that were started early, and that of planned runs."""
    runs = indexed_runs(wanted, now)
    if wanted.shows_planned:
        return capped_count(runs), None
    return capped_count(_come(runs, wanted, now)), planned_count(wanted, now)


def counts_of(wanted: RunFilter, choices: Sequence[RunFilter], now: datetime) -> list[Count | None]:
    """Return the number of runs that each choice would list. One query; None where rows must be read one by one."""
    if wanted.searches or wanted.error:
        return [None] * len(choices)
    countable = [one for one in choices if not one.searches]
    chosen = resolved(wanted, now)
    if chosen.problem is not None:
        return [None] * len(choices)
    parts = [listed(replace(one, problem=None, failed_now_by=one.cause, ids=chosen.ids), now) for one in countable]
    counted = dict(zip(map(id, countable), capped_counts(parts, CHOICE_CAP), strict=True))
    return [counted.get(id(one)) for one in choices]


def listed(wanted: RunFilter, now: datetime) -> QuerySet[FlowRun]:
    """Return the runs of the list by the conditions that have an index, without the few that were started early."""
    runs = indexed_runs(wanted, now)
    return runs if wanted.shows_planned else _come(runs, wanted, now)


def planned_count(wanted: RunFilter, now: datetime) -> Count | None:
    """Return the number of planned runs that match the filter; None if it names other states, or is over."""
    if wanted.names or wanted.is_past(now) or (wanted.states and StateType.SCHEDULED not in wanted.states):
        return None
    return capped_count(indexed_runs(replace(wanted, states=(), since=None), now).filter(is_planned(now)))


def reach_of_runs(runs: QuerySet[FlowRun], wanted: RunFilter, after: Cursor | None, *, share: float) -> Reach:
    return reach_of(runs, after, share=share, most=SEARCHED, parameters="parameters" if wanted.parameters else "")


def _searched(
    runs: QuerySet[FlowRun],
    reach: Reach,
    wanted: RunFilter,
    after: Cursor | None,
    size: int,
    now: datetime,
    further: Sequence[str],
) -> Page[FlowRun]:
    end = reach.end
    found = searched(runs.filter(expected_start_time__gte=end) if end else runs, wanted, now)
    page = page_of(rows_of_runs(found, *further), by=BY, after=after, size=size)
    return Page(page.rows, page.after or (Cursor.below_all_at(end) if end else None))


def rows_of_runs(runs: QuerySet[FlowRun], *further: str) -> QuerySet[FlowRun]:
    return runs.select_related("flow").only(*ROW_COLUMNS, *further)


def indexed_runs(wanted: RunFilter, now: datetime) -> QuerySet[FlowRun]:
    runs = FlowRun.objects.filter(expected_start_time__isnull=False)
    if wanted.in_no_state:
        return runs.none()
    if wanted.states:
        runs = runs.filter(_in_states(wanted))
    if wanted.planned:
        runs = runs.filter(is_planned(now))
    if wanted.waiting:
        runs = runs.filter(state_type=LiteralValue("SCHEDULED"), next_scheduled_start_time__lte=now)
    if wanted.ids is not None:
        runs = runs.filter(pk__in=wanted.ids)
    if wanted.problem is not None:
        runs = runs.filter(failed_by(wanted.problem))
    if wanted.failed_now_by is not None:
        runs = runs.filter(is_failed_by(wanted.failed_now_by))
    if wanted.queue:
        runs = runs.filter(work_queue_id=wanted.queue)
    if wanted.without_queue:
        runs = runs.filter(work_queue_id__isnull=True, deployment_id=wanted.deployment)
    elif wanted.deployment:
        runs = runs.filter(deployment_id=wanted.deployment)
    if wanted.flow:
        runs = runs.filter(flow__name=wanted.flow)
    if since := wanted.starts_after(now):
        runs = runs.filter(expected_start_time__gte=since)
    until = wanted.ends_before(now)
    return runs.filter(expected_start_time__lt=until) if until else runs


def _in_states(wanted: RunFilter) -> Q:
    named = {state for state, _ in wanted.names}
    plain = [state.value for state in wanted.states if state not in named]
    chosen = Q(state_type__in=plain) if plain else Q(pk__in=[])
    for state in wanted.states:
        if state in named:
            names = [name for of_type, name in wanted.names if of_type is state]
            one = Q(state_type=state.value, state_name__in=names)
            chosen = chosen | one if plain or len(wanted.states) > 1 else one
    return chosen


def searched(runs: QuerySet[FlowRun], wanted: RunFilter, now: datetime) -> QuerySet[FlowRun]:
    if wanted.name:
        runs = runs.filter(name__icontains=wanted.name)
    if wanted.without_flows:
        runs = runs.exclude(flow__name__in=wanted.without_flows)
    if wanted.longer_than is not None:
        # The running time of the current attempt is added to `total_run_time` when it ends.
        runs_so_long = Q(state_type=StateType.RUNNING, state_timestamp__lt=now - wanted.longer_than)
        runs = runs.filter(Q(total_run_time__gt=wanted.longer_than) | runs_so_long)
    if wanted.shorter_than is not None:
        runs = runs.filter(total_run_time__lt=wanted.shorter_than, start_time__isnull=False)
    if wanted.without_tags:
        runs = runs.exclude(is_tagged_with_any(FlowRunTag, wanted.without_tags))
    for agent in wanted.agents:
        runs = runs.filter(is_claimed_by(agent, "pk"))
    for given in wanted.parameters:
        runs = runs.filter(has_parameter(given, "parameters"))
    return runs.filter(is_tagged_with_all(FlowRunTag, wanted.tags)) if wanted.tags else runs


def state_reasons(runs: Iterable[FlowRun]) -> dict[str, str]:
    """Return the message of each run's state, or the reason of its last refusal, by run id. One query."""
    # The message of a scheduled state adds nothing.
    explained = [run for run in runs if run.state_type in EXPLAINED_IN_LISTS and run.state_name != "Scheduled"]
    states = FlowRunState.objects.filter(pk__in=[run.state_id for run in explained])
    messages: dict[UUID | None, str | None] = dict(states.values_list("id", "message"))
    return {str(run.id): messages.get(run.state_id) or (run.refusal or {}).get("reason") or "" for run in explained}
