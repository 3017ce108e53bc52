"""Rows for pages to show, written straight into the tables: what a page shows does not depend on how it came about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from runs.models import Flow, FlowRun, FlowRunState, Log, TaskRun, TaskRunState

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def make_flow(name: str = "etl", **columns: Any) -> Flow:
    return Flow.objects.get_or_create(name=name, defaults=columns)[0]


def make_run(
    name: str = "brave-otter",
    *,
    state: str = "COMPLETED",
    state_name: str | None = None,
    message: str | None = None,
    at: datetime = NOON,
    flow: Flow | None = None,
    trail: list[list[str]] | None = None,
    **columns: Any,
) -> FlowRun:
    """A flow run that went PENDING, RUNNING and then into `state`."""
    run = FlowRun(flow=flow or make_flow(), name=name, **{**run_columns(state, at), **columns})
    run.save()
    add_states(run, FlowRunState, "flow_run", state, state_name, message, at, trail)
    return run


def make_task_run(
    name: str = "load-0",
    *,
    flow_run: FlowRun | None = None,
    state: str = "COMPLETED",
    state_name: str | None = None,
    message: str | None = None,
    at: datetime = NOON,
    trail: list[list[str]] | None = None,
    **columns: Any,
) -> TaskRun:
    columns = {"task_key": "etl.load", "dynamic_key": str(uuid4()), **columns}
    run = TaskRun(flow_run=flow_run or make_run(), name=name, **{**run_columns(state, at), **columns})
    run.save()
    add_states(run, TaskRunState, "task_run", state, state_name, message, at, trail)
    return run


def run_columns(state: str, at: datetime) -> dict[str, Any]:
    started = state not in {"SCHEDULED", "PENDING"}
    return {
        "state_type": state,
        "state_timestamp": at,
        "expected_start_time": at,
        "start_time": at if started else None,
        "end_time": at + timedelta(seconds=90) if state in TERMINAL else None,
        "total_run_time": timedelta(seconds=90 if started else 0),
        "run_count": 1 if started else 0,
    }


def add_states(
    run: FlowRun | TaskRun,
    model: type[FlowRunState] | type[TaskRunState],
    owner: str,
    state: str,
    state_name: str | None,
    message: str | None,
    at: datetime,
    trail: list[list[str]] | None,
) -> None:
    types = [kind for kind in ("PENDING", "RUNNING") if kind != state and (kind == "PENDING" or run.start_time)]
    types.append(state)
    for seq, kind in enumerate(types, start=1):
        last = seq == len(types)
        row = model.objects.create(
            seq=seq,
            type=kind,
            name=(state_name if last else None) or kind.capitalize(),
            message=message if last else None,
            timestamp=at + timedelta(seconds=seq),
            trail=(trail if last else None) or [],
            **{owner: run},
        )
    run.seq, run.state_id, run.state_name, run.state_timestamp = seq, row.id, row.name, row.timestamp
    run.save(update_fields=["seq", "state_id", "state_name", "state_timestamp"])


def add_lines(run: FlowRun, *messages: str, level: int = 20, task_run: TaskRun | None = None) -> None:
    Log.objects.bulk_create(
        Log(
            name="orion.flow_runs",
            level=level,
            message=message,
            timestamp=NOON + timedelta(milliseconds=place),
            flow_run_id=run.id,
            task_run_id=task_run.id if task_run else None,
        )
        for place, message in enumerate(messages)
    )
