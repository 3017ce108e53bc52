"""A page of a list of runs, as a client asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from django.db.models import QuerySet

from runs.lists.filters.resources import RunFilter
from runs.lists.filters.searches import Search, flow_runs_matching, listed_task_runs
from runs.lists.filters.sorts import ORDERS, FlowRunSort, TaskRunSort
from runs.models import FlowRun, TaskRun

Kind = Literal["flow_runs", "task_runs"]


@dataclass(frozen=True)
class ListRequest:
    """The rows of a list of runs of one kind, in one order."""

    search: Search
    kind: Kind
    sort: FlowRunSort | TaskRunSort
    rows: slice

    @property
    def runs(self) -> QuerySet[Any]:
        """Return all runs of this kind."""
        return (FlowRun if self.kind == "flow_runs" else TaskRun).objects.all()

    @property
    def filter(self) -> RunFilter | None:
        """Return the conditions on the runs themselves."""
        return self.search.flow_runs if self.kind == "flow_runs" else self.search.task_runs

    @cached_property
    def matching(self) -> QuerySet[Any]:
        return flow_runs_matching(self.search) if self.kind == "flow_runs" else listed_task_runs(self.search)

    @property
    def is_for_some(self) -> bool:
        """Whether only some runs match, and the search does not name them by their ids."""
        search = self.search
        parts = (search.flows, search.flow_runs, search.task_runs, search.deployments, search.pools(), search.queues())
        if not any(parts):
            return False
        return not any(part is not None and part.names_ids for part in (search.flow_runs, search.task_runs))

    def in_order(self, runs: QuerySet[Any]) -> QuerySet[Any, Any]:
        """Return the ids of these runs in the order of the list."""
        return runs.order_by(*ORDERS[self.sort]).values("pk")
