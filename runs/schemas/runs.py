"""Common fields of flow runs and task runs that are computed when they are read."""

from __future__ import annotations

from datetime import datetime, timedelta

from orchestration.core.states import TERMINAL
from runs.models import FlowRun, TaskRun

NOTHING = timedelta()


def times_of(run: FlowRun | TaskRun, now: datetime) -> dict[str, float]:
    """Return the times of an answer that depend on the moment of reading, in seconds."""
    return {
        "total_run_time": run.total_run_time.total_seconds(),
        "estimated_run_time": estimated_run_time(run, now).total_seconds(),
        "estimated_start_time_delta": lateness(run, now).total_seconds(),
    }


def estimated_run_time(run: FlowRun | TaskRun, now: datetime) -> timedelta:
    """Return the time that a run has spent running so far."""
    if run.state_type != "RUNNING" or run.state_timestamp is None:
        return run.total_run_time
    return run.total_run_time + max(now - run.state_timestamp, NOTHING)


def lateness(run: FlowRun | TaskRun, now: datetime) -> timedelta:
    """Return how much later than expected the run started, or for how long it has been overdue."""
    expected = run.expected_start_time
    if expected is None:
        return NOTHING
    if run.start_time is not None:
        return max(run.start_time - expected, NOTHING)
    return NOTHING if run.state_type in TERMINAL else max(now - expected, NOTHING)
