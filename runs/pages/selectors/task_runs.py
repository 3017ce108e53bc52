"""The list of all task runs, with the same filter as the list of flow runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Q, QuerySet

from orchestration.core.states import TERMINAL, StateType
from runs.lists.filters.conditions import is_tagged_with_all, is_tagged_with_any
from runs.models import TaskRun, TaskRunTag
from runs.pages.selectors.conditions import has_parameter, is_claimed_by
from runs.pages.selectors.keyset import Count, Cursor, Page, capped_count, merged, page_of
from runs.pages.selectors.reach import BY, Reach, ended_short, reach_of
from runs.pages.selectors.run import reasons_of_tasks
from runs.pages.selectors.runs import PAGE_SIZE, SEARCHED, RunFilter
from runs.pages.selectors.shared_parameters import PARAMETERS, parents_with
from runs.querysets import has_ended_badly, is_open

# The columns that the list shows. Open pages read it again and again while task runs are reported.
SHOWN = (
    *("state_type", "state_name", "state_id", "refusal", "name", "tags", "run_count"),
    *("expected_start_time", "start_time", "total_run_time", "flow_run__name", "flow_run__flow__name"),
)


@dataclass(frozen=True, slots=True)
class TaskRunsPage:
    """One page of the list; no count where rows must be read one by one."""

    page: Page[TaskRun]
    count: Count | None
    reasons: Mapping[str, str]
    size: int
    reaches: Sequence[Reach] = ()

    @property
    def was_cut_short(self) -> bool:
        """Whether the search ended before the page was full and older task runs were searched."""
        return self.page.after is not None and len(self.page.rows) < self.size

    @property
    def read_large_parameters(self) -> bool:
        """Whether the search would have come further with smaller parameters."""
        return self.was_cut_short and ended_short(self.reaches, self.page.after)


def task_runs_page(*, wanted: RunFilter, after: Cursor | None, now: datetime, size: int = PAGE_SIZE) -> TaskRunsPage:
    """Return a page of task runs, newest first: one or two queries for each state, and four more at most."""
    parts = [indexed_task_runs(one, now) for one in wanted.by_state()]
    by_row = conditions_by_row(replace(wanted, parameters=()), now)
    reaches: Sequence[Reach] = [Reach(None) for _ in parts]
    if wanted.parameters:
        parents = parents_with(wanted.parameters, parts, after, most=SEARCHED)
        reaches, by_row = parents.reaches, [*by_row, parents.condition]
    elif by_row:
        reaches = [reach_of(part, after, share=1 / len(parts), most=SEARCHED, parameters="") for part in parts]
    pages = [_part(part, reach.end, by_row, after, size) for part, reach in zip(parts, reaches, strict=True)]
    page = merged(pages, by=BY, size=size)
    count = None if by_row else capped_count(indexed_task_runs(wanted, now))
    return TaskRunsPage(page, count, reasons_of_tasks(page.rows), size, reaches)


def _part(
    runs: QuerySet[TaskRun], end: datetime | None, by_row: list[Q], after: Cursor | None, size: int
) -> Page[TaskRun]:
    found = (runs.filter(expected_start_time__gte=end) if end else runs).filter(*by_row)
    rows = found.select_related("flow_run__flow").only(*SHOWN)
    page = page_of(rows, by=BY, after=after, size=size)
    return Page(page.rows, page.after or (Cursor.below_all_at(end) if end else None))


def indexed_task_runs(wanted: RunFilter, now: datetime) -> QuerySet[TaskRun]:
    runs = TaskRun.objects.filter(expected_start_time__isnull=False)
    if wanted.in_no_state:
        return runs.none()
    if wanted.states:
        runs = runs.filter(state_type__in=[state.value for state in wanted.states])
        # Conditions of partial indexes with few rows.
        if TERMINAL.isdisjoint(wanted.states):
            runs = runs.filter(is_open())
        elif set(wanted.states) <= TERMINAL - {StateType.COMPLETED}:
            runs = runs.filter(has_ended_badly())
    if wanted.ids is not None:
        runs = runs.filter(pk__in=wanted.ids)
    if since := wanted.starts_after(now):
        runs = runs.filter(expected_start_time__gte=since)
    until = wanted.ends_before(now)
    return runs.filter(expected_start_time__lt=until) if until else runs


def conditions_by_row(wanted: RunFilter, now: datetime) -> list[Q]:
    """Return the conditions for which rows are read one by one."""
    found = []
    if wanted.names:
        named = {state for state, _ in wanted.names}
        chosen = Q(state_type__in=[state.value for state in wanted.states if state not in named])
        for state, name in wanted.names:
            chosen |= Q(state_type=state.value, state_name=name)
        found.append(chosen)
    if wanted.name:
        found.append(Q(name__icontains=wanted.name))
    if wanted.flow:
        found.append(Q(flow_run__flow__name=wanted.flow))
    if wanted.without_flows:
        found.append(~Q(flow_run__flow__name__in=wanted.without_flows))
    if wanted.tags:
        found.append(is_tagged_with_all(TaskRunTag, wanted.tags))
    if wanted.without_tags:
        found.append(~is_tagged_with_any(TaskRunTag, wanted.without_tags))
    # The agent is that of the flow run, and so are the parameters.
    found += [is_claimed_by(agent, "flow_run_id") for agent in wanted.agents]
    found += [has_parameter(given, PARAMETERS) for given in wanted.parameters]
    if wanted.longer_than is not None:
        runs_so_long = Q(state_type=StateType.RUNNING, state_timestamp__lt=now - wanted.longer_than)
        found.append(Q(total_run_time__gt=wanted.longer_than) | runs_so_long)
    if wanted.shorter_than is not None:
        found.append(Q(total_run_time__lt=wanted.shorter_than, start_time__isnull=False))
    return found
