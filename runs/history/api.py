"""Runs over time: histories, lateness, and counts for the dashboard."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from django.db.models import QuerySet
from pydantic import Field

from orchestration.api.errors import Refused
from orchestration.api.pagination import FARTHEST
from orchestration.core.states import StateType
from orchestration.database_clock import current_time
from orionflow.contract.explanations import HistoryWindow, SimpleFlowRunOut, TaskRunCountOut
from runs.history.schemas import FlowRunHistoryRequest, HistoryOut, TaskRunHistoryRequest, history_out
from runs.history.selectors.history import average_lateness, counts_by_state, history, outcomes_over_time
from runs.lists.api import RunQuestion
from runs.lists.filters.resources import TaskRunFilter
from runs.lists.filters.searches import (
    FlowRunHistorySearch,
    FlowRunSearch,
    FlowSearch,
    Search,
    flow_runs_matching,
    task_runs_matching,
)
from runs.lists.filters.sorts import ORDERS, FlowRunSort
from runs.lists.filters.subjects import (
    asks_only_when_task_runs_started,
    subject_of_flow_runs,
    subject_of_task_runs,
)
from runs.models import FlowRun
from runs.roll_ups.selectors import Subject, runs_by_state
from runs.schemas.runs import estimated_run_time, lateness

DASHBOARD_PARTS = 20
SIMPLE = ("state_type", "state_timestamp", "total_run_time", "start_time", "expected_start_time")


def _history(runs: QuerySet[Any], window: HistoryWindow, subject: Subject | None) -> list[HistoryOut]:
    if window.history_interval_seconds < 1:
        raise Refused("History interval must not be less than 1 second.")
    start, end, step = window.history_start, window.history_end, timedelta(seconds=window.history_interval_seconds)
    return history_out(history(runs, start=start, end=end, step=step, now=current_time(), subject=subject))


class ReadFlowRunHistory(RunQuestion):
    """Count flow runs by state in equal intervals of time, at most 500 of them."""

    body_optional = False
    answers = {200: list[HistoryOut]}

    def perform(self, body: FlowRunHistoryRequest) -> list[HistoryOut]:
        return _history(flow_runs_matching(body), body, subject_of_flow_runs(body))


class ReadTaskRunHistory(RunQuestion):
    """Count task runs by state in equal intervals of time, at most 500 of them."""

    body_optional = False
    answers = {200: list[HistoryOut]}

    def perform(self, body: TaskRunHistoryRequest) -> list[HistoryOut]:
        return _history(task_runs_matching(body), body, subject_of_task_runs(body))


class ReadAverageLateness(RunQuestion):
    """Return how late flow runs start on average, in seconds."""

    answers = {200: float | None}

    def perform(self, body: FlowRunSearch) -> float | None:
        return average_lateness(flow_runs_matching(body), current_time(), subject_of_flow_runs(body))


class SimpleListing(FlowSearch):
    sort: FlowRunSort = FlowRunSort.EXPECTED_START_TIME_DESC
    limit: Annotated[int, Field(ge=0, le=1000)] = 1000
    offset: Annotated[int, Field(ge=0, le=FARTHEST)] = 0


class ReadSimpleFlowRuns(RunQuestion):
    """List flow runs as dots for a diagram of durations."""

    answers = {200: list[SimpleFlowRunOut]}

    def perform(self, body: SimpleListing) -> list[SimpleFlowRunOut]:
        now = current_time()
        runs = flow_runs_matching(body).filter(state_type__isnull=False, expected_start_time__isnull=False)
        page = runs.order_by(*ORDERS[body.sort])[body.offset : body.offset + body.limit]
        return [_dot(run, now) for run in page.only(*SIMPLE)]


def _dot(run: FlowRun, now: datetime) -> SimpleFlowRunOut:
    began = run.start_time or run.expected_start_time
    assert began is not None
    return {
        "id": run.id,
        "state_type": StateType(str(run.state_type)),
        "timestamp": began,
        "duration": estimated_run_time(run, now).total_seconds(),
        "lateness": lateness(run, now).total_seconds(),
    }


class CountTaskRunsByState(RunQuestion):
    """Count task runs in each type of state."""

    answers = {200: dict[StateType, int]}

    def perform(self, body: Search) -> dict[StateType, int]:
        subject = subject_of_task_runs(body)
        counted = runs_by_state(subject) if subject else counts_by_state(task_runs_matching(body))
        return {state_type: counted.get(state_type.value, 0) for state_type in StateType}


class DashboardCounts(FlowRunHistorySearch):
    task_runs: TaskRunFilter


class CountTaskRunOutcomes(RunQuestion):
    """Count completed and failed task runs in twenty equal parts of the time since `task_runs.start_time.after_`."""

    body_optional = False
    answers = {200: list[TaskRunCountOut]}

    def perform(self, body: DashboardCounts) -> list[TaskRunCountOut]:
        times = body.task_runs.start_time
        if times is None or times.after_ is None:
            raise Refused("task_runs.start_time.after_ is required.")
        end = times.before_ or current_time()
        parts = outcomes_over_time(
            task_runs_matching(body),
            start=times.after_,
            end=end,
            parts=DASHBOARD_PARTS,
            of_all_task_runs=asks_only_when_task_runs_started(body),
        )
        return [{"completed": completed, "failed": failed} for completed, failed in parts]
