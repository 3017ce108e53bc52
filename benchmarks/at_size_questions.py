"""The requests of `benchmarks.at_size` to the API: each filter field, order and offset, as (name, path, body)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

Question = tuple[str, str, dict[str, Any]]
Filters = dict[str, dict[str, Any]]
MEASURED_DAYS = 30
DEPLOYMENT = UUID(int=0x7001 << 64 | 2 << 62)
FLOW_RUN_SORTS = (
    "ID_DESC", "START_TIME_ASC", "START_TIME_DESC", "EXPECTED_START_TIME_ASC", "EXPECTED_START_TIME_DESC", "NAME_ASC",
    "NAME_DESC", "NEXT_SCHEDULED_START_TIME_ASC", "END_TIME_DESC",
)  # fmt: skip


def questions(now: datetime, run: Any, flow: Any) -> Iterator[Question]:
    """Yield all of them: lists and counts, orders, those of one flow, and histories."""
    filters = filters_of_runs(now, run)
    yield from lists_and_counts(now, run, filters)
    yield from orders(filters)
    yield from offsets()
    yield from through_flows(run, flow, filters)
    yield from histories(now, flow)


def filters_of_runs(now: datetime, run: Any) -> Filters:
    """Return filters that flow runs and task runs have in common."""
    days = _days_before(now)
    return {
        "all": {},
        "rare tag": {"tags": {"all_": ["rare-7"]}},
        "common tag": {"tags": {"all_": ["prod"]}},
        "two tags": {"tags": {"all_": ["prod", "rare-7"]}},
        "tag that is not there": {"tags": {"all_": ["nowhere"]}},
        "without tags": {"tags": {"is_null_": True}},
        "common tag, failed": {"tags": {"all_": ["prod"]}, "state": {"type": {"any_": ["FAILED"]}}},
        "rare tag or failed": {
            "operator": "or_", "tags": {"all_": ["rare-7"]}, "state": {"type": {"any_": ["FAILED"]}},
        },
        "common tag, a day long ago": {
            "tags": {"all_": ["prod"]}, "start_time": {"before_": days[7], "after_": days[8]},
        },
        "name": {"name": {"any_": ["run-4321", "task-1"]}},
        "name that is not there": {"name": {"any_": ["no-such"]}},
        "part of names": {"name": {"like_": "run-43"}},
        "part that is not there": {"name": {"like_": "no-such"}},
        "beginning of ids": {"id": {"startswith_": run.id.hex[:13]}},
        "failed": {"state": {"type": {"any_": ["FAILED"]}}},
        "failed, crashed, cancelled": {"state": {"type": {"any_": ["FAILED", "CRASHED", "CANCELLED"]}}},
        "completed": {"state": {"type": {"any_": ["COMPLETED"]}}},
        "running": {"state": {"type": {"any_": ["RUNNING"]}}},
        "name of state": {"state": {"name": {"any_": ["Crashed"]}}},
        "name of state that is not there": {"state": {"name": {"any_": ["TimedOut"]}}},
        "started in 7 days": {"start_time": {"after_": days[7]}},
        "failed, started in 7 days": {
            "state": {"type": {"any_": ["FAILED"]}}, "start_time": {"after_": days[7]},
        },
        "started before 7 days": {"start_time": {"before_": days[7]}},
        "started before all": {"start_time": {"before_": days[25]}},
        "not started": {"start_time": {"is_null_": True}},
    }  # fmt: skip


def _days_before(now: datetime) -> dict[int, str]:
    return {days: (now - timedelta(days=days)).isoformat() for days in (1, 7, 8, 25)}


def lists_and_counts(now: datetime, run: Any, filters: Filters) -> Iterator[Question]:
    """Yield the list and the count of each filter."""
    days = _days_before(now)
    of_flow_runs: Filters = {
        "expected in 7 days": {"expected_start_time": {"after_": days[7]}},
        "expected before 7 days": {"expected_start_time": {"before_": days[7]}},
        "planned": {"next_scheduled_start_time": {"after_": days[1]}},
        "deployment": {"deployment_id": {"any_": [str(DEPLOYMENT)]}},
        "without deployment": {"deployment_id": {"is_null_": True}},
        "queue": {"work_queue_name": {"any_": ["default"]}},
        "queue that is not there": {"work_queue_name": {"any_": ["none"]}},
        "version": {"flow_version": {"any_": ["none"]}},
        "idempotency key": {"idempotency_key": {"any_": ["none"]}},
        "nested in a run": {"parent_flow_run_id": {"any_": [str(run.id)]}},
        "nested": {"parent_task_run_id": {"is_null_": False}},
    }
    of_task_runs: Filters = {
        "of a flow run": {"flow_run_id": {"any_": [str(run.id)]}},
        "of no flow run": {"flow_run_id": {"is_null_": True}},
        "of subflows": {"subflow_runs": {"exists_": True}},
    }
    for kind, of_kind in (("flow_runs", filters | of_flow_runs), ("task_runs", filters | of_task_runs)):
        for name, asked in of_kind.items():
            if kind == "task_runs" and "expected" in name:
                continue
            body = {kind: asked} if asked else {}
            yield f"list {kind}: {name}", f"{kind}/filter", body
            yield f"count {kind}: {name}", f"{kind}/count", body


def orders(filters: Filters) -> Iterator[Question]:
    """Yield lists in each order, of all runs and of some."""
    for sort in FLOW_RUN_SORTS:
        yield f"list flow_runs: {sort}", "flow_runs/filter", {"sort": sort}
    for sort in ("EXPECTED_START_TIME_DESC", "START_TIME_DESC", "NAME_ASC"):
        for words in ("rare tag", "common tag", "failed"):
            yield f"list flow_runs: {words}, {sort}", "flow_runs/filter", {"flow_runs": filters[words], "sort": sort}
    for sort in FLOW_RUN_SORTS:
        if not sort.startswith("START"):
            yield f"list task_runs: {sort}", "task_runs/filter", {"sort": sort}


def offsets() -> Iterator[Question]:
    """Yield the page in the middle of all runs."""
    from runs.models import FlowRun

    half = FlowRun.objects.count() // 2
    for kind in ("flow_runs", "task_runs"):
        yield f"list {kind}: half way", f"{kind}/filter", {"offset": half}
        sort = "EXPECTED_START_TIME_DESC"
        yield f"list {kind}: half way, {sort}", f"{kind}/filter", {"offset": half, "sort": sort}


def through_flows(run: Any, flow: Any, filters: Filters) -> Iterator[Question]:
    """Yield questions by related rows: runs of a flow, flows by their runs, logs of a run."""
    of_flow = {"flows": {"name": {"any_": [flow.name]}}}
    yield "list flow_runs: flow", "flow_runs/filter", of_flow
    yield "count flow_runs: flow", "flow_runs/count", of_flow
    failed_of_flow = of_flow | {"flow_runs": filters["failed"]}
    yield "list flow_runs: flow, failed", "flow_runs/filter", failed_of_flow
    yield "count flow_runs: flow, failed", "flow_runs/count", failed_of_flow
    yield "list task_runs: flow", "task_runs/filter", of_flow
    yield "count task_runs: flow", "task_runs/count", of_flow
    yield "list task_runs: rare tag of flow run", "task_runs/filter", {"flow_runs": filters["rare tag"]}
    yield "list flows", "flows/filter", {}
    yield "list flows: with failed runs", "flows/filter", {"flow_runs": filters["failed"]}
    yield "list logs of a run", "logs/filter", {"logs": {"flow_run_id": {"any_": [str(run.id)]}}}


def histories(now: datetime, flow: Any) -> Iterator[Question]:
    """Yield counts by time, and the data of charts."""
    history = {
        "history_start": (now - timedelta(days=MEASURED_DAYS)).isoformat(),
        "history_end": now.isoformat(),
        "history_interval_seconds": 86_400,
    }
    of_deployment = {"deployments": {"id": {"any_": [str(DEPLOYMENT)]}}}
    # Bins that do not start at full minutes.
    narrow = history | {"history_interval_seconds": MEASURED_DAYS * 86_400 // 500}
    for words, asked in (("30 days", history), ("500 bins", narrow)):
        yield f"history of flow runs, {words}", "flow_runs/history", asked
        yield f"history of task runs, {words}", "task_runs/history", asked
        of_one = asked | {"flows": {"id": {"any_": [str(flow.id)]}}}
        yield f"history of the runs of a flow, {words}", "flow_runs/history", of_one
        yield f"history of the runs of a deployment, {words}", "flow_runs/history", asked | of_deployment
    yield "flow runs as dots", "ui/flow_runs/history", {}
    yield "average lateness", "flow_runs/lateness", {}
    yield "average lateness of a flow", "flow_runs/lateness", {"flows": {"id": {"any_": [str(flow.id)]}}}
