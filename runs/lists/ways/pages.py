"""Pages of lists of runs, and which way leads to their ids. Only the rows of the page are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet

from runs.lists.filters.searches import Ids, Search
from runs.lists.filters.sorts import ORDERS, FlowRunSort, TaskRunSort
from runs.lists.ways import among_first, by_next_start, by_part_of_name, by_tags, few_sorted, in_order
from runs.lists.ways.list_request import ListRequest
from runs.models import FlowRun, TaskRun

# A way returns the ids of the page, or None if it does not suit. The first that suits is taken.
WAYS: tuple[Callable[[ListRequest], Ids | None], ...] = (
    # Tags and nothing else, in an order in which their rows are stored: the page is a part of these rows.
    by_tags.ids_of_page,
    # A part of names and nothing else: matches are either among the first runs of the list, or found in the index of
    # names, which is far smaller than the runs.
    by_part_of_name.ids_of_page,
    # Any conditions that few runs match: in the order of the list, these might come last of all.
    few_sorted.ids_of_page,
    # Many match, and SQLite would sort them all: so some of the first runs of the list usually match. If these fill no
    # page, the next ways follow.
    among_first.ids_of_page,
    # Task runs by their next start, which nearly all lack: those that have one are in an index, the others follow.
    by_next_start.ids_of_page,
    # All runs, or many of them: a match is never far.
    in_order.ids_of_page,
)


def page_of_flow_runs(search: Search, sort: FlowRunSort, rows: slice) -> QuerySet[FlowRun]:
    """Return some rows of the list of flow runs, in its order."""
    return _page(ListRequest(search, "flow_runs", sort, rows))


def page_of_task_runs(search: Search, sort: TaskRunSort, rows: slice) -> QuerySet[TaskRun]:
    """Return some rows of the list of task runs, in its order."""
    return _page(ListRequest(search, "task_runs", sort, rows))


def _page(request: ListRequest) -> QuerySet[Any]:
    ids = next(found for way in WAYS if (found := way(request)) is not None)
    return request.runs.filter(pk__in=ids).order_by(*ORDERS[request.sort])
