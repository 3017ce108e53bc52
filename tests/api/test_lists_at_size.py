"""Lists and counts cost the same when there are many more runs that they do not show.

Measured is work, not time: the steps of SQLite's machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.test import Client

from runs.lists.filters import conditions
from runs.lists.ways import few_sorted
from runs.models import Flow, FlowRun, TaskRun
from runs.roll_ups.services import AS_MANY_AS_IT_TAKES, add_up
from tests.conftest import DATABASE
from tests.factories import NOON
from tests.rounds import THOROUGH
from tests.services.test_idle_cost import analyze, counted

pytestmark = [
    pytest.mark.generative,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(DATABASE != "sqlite", reason="PostgreSQL reads a table of some thousand rows whole"),
    pytest.mark.usefixtures("statistics_of_its_own"),
]

# Every second run has it.
DEPLOYMENT = "00000000-0000-7000-8000-000000000002"
FEW, MANY = 1000, 8000 if THOROUGH else 4000

RARE = {
    "rare tag": {"tags": {"all_": ["rare"]}},
    "two tags": {"tags": {"all_": ["common", "rare"]}},
    "tag that is not there": {"tags": {"all_": ["nowhere"]}},
    "name": {"name": {"any_": ["seldom"]}},
    "part of names": {"name": {"like_": "eldo"}},
    "part that is not there": {"name": {"like_": "nobod"}},
    "name that is not there": {"name": {"any_": ["nobody"]}},
    "failed": {"state": {"type": {"any_": ["FAILED"]}}},
    "rare tag, failed": {"tags": {"all_": ["rare"]}, "state": {"type": {"any_": ["FAILED"]}}},
    "running": {"state": {"type": {"any_": ["RUNNING"]}}},
    "name of a state": {"state": {"name": {"any_": ["TimedOut"]}}},
    "started long ago": {"start_time": {"before_": (NOON - timedelta(days=400)).isoformat()}},
}
RARE_FLOW_RUNS = RARE | {
    "queue": {"work_queue_name": {"any_": ["nowhere"]}},
    "deployment": {"deployment_id": {"any_": ["00000000-0000-7000-8000-000000000001"]}},
    "version": {"flow_version": {"any_": ["nowhere"]}},
    "key": {"idempotency_key": {"any_": ["nowhere"]}},
    "nested": {"parent_task_run_id": {"any_": ["00000000-0000-7000-8000-000000000001"]}},
}
ORDERS = {
    "flow_runs": (
        *("ID_DESC", "START_TIME_ASC", "START_TIME_DESC", "EXPECTED_START_TIME_ASC", "EXPECTED_START_TIME_DESC"),
        *("NAME_ASC", "NAME_DESC", "NEXT_SCHEDULED_START_TIME_ASC", "END_TIME_DESC"),
    ),
    "task_runs": (
        *("ID_DESC", "EXPECTED_START_TIME_ASC", "EXPECTED_START_TIME_DESC", "NAME_ASC", "NAME_DESC"),
        *("NEXT_SCHEDULED_START_TIME_ASC", "END_TIME_DESC"),
    ),
}


def make_runs(begin: int, end: int) -> None:
    """Write runs that completed, each with a task run, but for the first: these are rare in every way."""
    flows = [Flow.objects.get_or_create(name=f"flow-{number}")[0] for number in range(3)]
    Flow.objects.get_or_create(name="idle")
    runs, tasks = [], []
    for number in range(begin, end):
        at = NOON - timedelta(minutes=MANY - number)
        is_rare = number < 5
        columns: dict[str, Any] = {
            "state_type": "FAILED" if is_rare else "COMPLETED",
            "state_name": "TimedOut" if is_rare else "Odd" if number % 2 else "Completed",
            "tags": ["common", "rare"] if is_rare else ["common"],
            "name": "seldom" if is_rare else f"run-{number % 49}",
            **{"state_timestamp": at, "expected_start_time": at, "start_time": at, "end_time": at},
        }
        deployed = DEPLOYMENT if number % 2 else None
        runs.append(FlowRun(flow=flows[number % 3], deployment_id=deployed, **columns))
        tasks.append(TaskRun(flow_run=runs[-1], task_key="one", dynamic_key="0", **columns))
    FlowRun.objects.bulk_create(runs, batch_size=500)
    TaskRun.objects.bulk_create(tasks, batch_size=500)
    add_up(steps=AS_MANY_AS_IT_TAKES)
    analyze()


def requests(client: Client) -> Iterator[tuple[str, Callable[[], Any]]]:
    def ask(path: str, body: Any) -> Callable[[], Any]:
        return lambda: client.post(f"/api/{path}", json.dumps(body), content_type="application/json")

    for kind, filters in (("flow_runs", RARE_FLOW_RUNS), ("task_runs", RARE)):
        for name, asked in filters.items():
            yield f"count {kind}: {name}", ask(f"{kind}/count", {kind: asked})
            yield f"list {kind}: {name}", ask(f"{kind}/filter", {kind: asked})
        for order in ORDERS[kind]:
            yield f"list {kind}: {order}", ask(f"{kind}/filter", {"sort": order})
            # Half of all runs, also of the first ones in any order: too many to be worth sorting.
            asked = {"state": {"name": {"any_": ["Odd"]}}}
            yield f"list {kind}: of many, {order}", ask(f"{kind}/filter", {kind: asked, "sort": order, "limit": 5})
            if kind == "flow_runs":
                asked = {"deployment_id": {"any_": [DEPLOYMENT]}}
                yield (
                    f"list of a deployment with many, {order}",
                    ask(f"{kind}/filter", {kind: asked, "sort": order, "limit": 5}),
                )
        for name, asked in (("flow", {"name": {"any_": ["idle"]}}), ("part of a flow", {"name": {"like_": "idl"}})):
            yield f"list {kind}: {name}", ask(f"{kind}/filter", {"flows": asked})
        common = {kind: {"tags": {"all_": ["common"]}}}
        yield f"list {kind}: common tag", ask(f"{kind}/filter", common)
        yield f"list {kind}: common tag, newest", ask(f"{kind}/filter", common | {"sort": "EXPECTED_START_TIME_DESC"})
    for column in ("work_queue_name", "parent_task_run_id"):
        yield f"count without {column}", ask("flow_runs/count", {"flow_runs": {column: {"is_null_": True}}})
    for path in ("/flows", "/deployments"):
        yield f"GET {path}", partial(client.get, path)


def costs(client: Client) -> dict[str, int]:
    found = {}
    for name, ask in requests(client):
        assert ask().status_code == 200, name
        with counted() as spent:
            ask()
        found[name] = spent[0]
    return found


def test_a_request_costs_the_same_among_many_more_runs(monkeypatch):
    # The number of runs with a common tag before the other runs come.
    monkeypatch.setattr(conditions, "FEW", FEW // 2)
    monkeypatch.setattr(few_sorted, "FEW_ROWS", FEW // 50)
    client = Client(headers={"host": "localhost:4200"})
    make_runs(0, FEW)
    few = costs(client)

    make_runs(FEW, MANY)
    many = costs(client)

    grown = {name: (few[name], many[name]) for name in few if many[name] > 1.5 * few[name] + 2000}
    assert grown == {}
