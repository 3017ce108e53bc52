"""Lists and counts of flows, runs and log lines, by the filter language."""

from __future__ import annotations

from typing import Annotated, Any

from orchestration.api.answers import as_answer
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page, rows_asked_for
from orchestration.database_clock import current_time
from orchestration.large import without_large
from orion_site.accounts.permissions import Action
from orionflow.contract import logs
from orionflow.contract import runs as contract
from orionflow.contract.wire import Shaped
from runs.flow_runs.api.flow_runs import FREE_COLUMNS, listed_flow_runs_out
from runs.flow_runs.schemas import FlowRunOut
from runs.flows.api import FlowOut
from runs.lists.filters.conditions import matched
from runs.lists.filters.resources import LogFilter
from runs.lists.filters.searches import FlowRunSearch, FlowSearch, Search, flows_matching
from runs.lists.filters.sorts import ORDERS, FlowRunSort, FlowSort, LogSort, TaskRunSort
from runs.lists.ways.counts import number_of_flow_runs, number_of_task_runs
from runs.lists.ways.pages import page_of_flow_runs, page_of_task_runs
from runs.models import Log
from runs.task_runs.api.task_runs import listed_task_runs_out
from runs.task_runs.schemas import TaskRunOut

LogOut = Annotated[dict[str, Any], Shaped(logs.Log)]


class FlowListing(FlowSearch, Page):
    sort: FlowSort = FlowSort.NAME_ASC


class FlowRunListing(FlowRunSearch, Page):
    sort: FlowRunSort = FlowRunSort.ID_DESC


class TaskRunListing(Search, Page):
    sort: TaskRunSort = TaskRunSort.ID_DESC


class LogListing(Page):
    logs: LogFilter | None = None
    sort: LogSort = LogSort.TIMESTAMP_ASC


class RunQuestion(Operation):
    """The base of operations that list and count runs: they only read, and need no body."""

    method = "POST"
    action_required = Action.READ_RUNS
    may_lag = True
    body_optional = True


class FilterFlows(RunQuestion):
    """List flows."""

    answers = {200: list[FlowOut]}

    def perform(self, body: FlowListing) -> list[FlowOut]:
        return [
            as_answer(contract.Flow, flow)
            for flow in self.paginate_queryset(flows_matching(body).order_by(*ORDERS[body.sort]))
        ]


class CountFlows(RunQuestion):
    """Count flows."""

    answers = {200: int}

    def perform(self, body: FlowSearch) -> int:
        return flows_matching(body).count()


class FilterFlowRuns(RunQuestion):
    """List flow runs with their current states; a note replaces parameters and other free JSON over 32 KiB."""

    answers = {200: list[FlowRunOut]}

    def perform(self, body: FlowRunListing) -> list[FlowRunOut]:
        found = page_of_flow_runs(body, body.sort, rows_asked_for(body))
        return listed_flow_runs_out(list(without_large(found, *FREE_COLUMNS)), current_time())


class CountFlowRuns(RunQuestion):
    """Count flow runs."""

    answers = {200: int}

    def perform(self, body: FlowRunSearch) -> int:
        return number_of_flow_runs(body)


class FilterTaskRuns(RunQuestion):
    """List task runs with their current states."""

    answers = {200: list[TaskRunOut]}

    def perform(self, body: TaskRunListing) -> list[TaskRunOut]:
        found = page_of_task_runs(body, body.sort, rows_asked_for(body))
        return listed_task_runs_out(list(without_large(found, "task_inputs")), current_time())


class CountTaskRuns(RunQuestion):
    """Count task runs."""

    answers = {200: int}

    def perform(self, body: Search) -> int:
        return number_of_task_runs(body)


class FilterLogs(RunQuestion):
    """List log lines."""

    answers = {200: list[LogOut]}

    def perform(self, body: LogListing) -> list[LogOut]:
        lines = Log.objects.filter(matched(body.logs)).order_by(*ORDERS[body.sort])
        # The response needs an update time; lines never change.
        return [as_answer(logs.Log, line, updated=line.created) for line in self.paginate_queryset(lines)]
