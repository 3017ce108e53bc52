"""What flow runs and task runs are told alike: times that are derived at the moment of reading."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from typing_extensions import TypedDict

from orchestration.api.states import StateOut
from orchestration.core.states import TERMINAL, StateType
from runs.models import FlowRun, TaskRun

NOTHING = timedelta()


class RunOut(TypedDict):
    id: UUID
    created: datetime
    updated: datetime
    name: str
    tags: list[str]
    state_id: UUID | None
    state_type: StateType | None
    state_name: str | None
    run_count: int
    expected_start_time: datetime | None
    next_scheduled_start_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    total_run_time: float
    estimated_run_time: float
    estimated_start_time_delta: float
    state: StateOut | None


def run_out(run: FlowRun | TaskRun, state: StateOut | None, now: datetime) -> dict[str, Any]:
    return {
        "id": run.id,
        "created": run.created,
        "updated": run.updated,
        "name": run.name,
        "tags": run.tags,
        "state_id": run.state_id,
        "state_type": run.state_type,
        "state_name": run.state_name,
        "run_count": run.run_count,
        "expected_start_time": run.expected_start_time,
        "next_scheduled_start_time": run.next_scheduled_start_time,
        "start_time": run.start_time,
        "end_time": run.end_time,
        "total_run_time": run.total_run_time.total_seconds(),
        "estimated_run_time": estimated_run_time(run, now).total_seconds(),
        "estimated_start_time_delta": lateness(run, now).total_seconds(),
        "state": state,
    }


def estimated_run_time(run: FlowRun | TaskRun, now: datetime) -> timedelta:
    """The time spent running so far."""
    if run.state_type != "RUNNING" or run.state_timestamp is None:
        return run.total_run_time
    return run.total_run_time + max(now - run.state_timestamp, NOTHING)


def lateness(run: FlowRun | TaskRun, now: datetime) -> timedelta:
    """How much later than expected the run started, or how long it is overdue."""
    expected = run.expected_start_time
    if expected is None:
        return NOTHING
    if run.start_time is not None:
        return max(run.start_time - expected, NOTHING)
    return NOTHING if run.state_type in TERMINAL else max(now - expected, NOTHING)
