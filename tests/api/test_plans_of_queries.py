"""Plans of what pages, lists and histories ask: no query reads a table of runs or of states from end to end.

Of few rows PostgreSQL would read all; here it may not, so that a plan which does has no index to go by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from runs.lists.filters import names, searches
from runs.lists.ways import by_part_of_name, few_sorted
from runs.models import Flow, FlowRun
from runs.roll_ups.services import add_up
from tests.conftest import DATABASE, forget_statistics
from tests.factories import NOON, later, make_flow, make_flow_run, make_task_run
from tests.services.dispatching import make_deployment

pytestmark = [pytest.mark.django_db, pytest.mark.undivided]

RUNS = r"runs_(?:flow|task)run(?:state)?"
MONTH = {
    "history_start": (NOON - timedelta(days=30)).isoformat(),
    "history_end": (NOON + timedelta(days=1)).isoformat(),
    "history_interval_seconds": 31 * 86_400 // 500,
}
FAILED = {"state": {"type": {"any_": ["FAILED"]}}}
WITHOUT_TAGS = {kind: {f"{kind}_runs": {"tags": {"is_null_": True}}} for kind in ("flow", "task")}
PAGES = (
    "/",
    "/?tag=gpu",
    "/runs",
    "/runs?state=failed",
    "/runs?tag=gpu",
    "/flows",
    "/deployments",
    "/schedule",
    "/work",
)
QUESTIONS = (
    ("flow_runs/history", MONTH),
    ("task_runs/history", MONTH),
    ("flow_runs/lateness", {}),
    ("flow_runs/filter", {"flow_runs": FAILED}),
    ("flow_runs/filter", {"flow_runs": {"tags": {"all_": ["gpu"]}}}),
    ("flow_runs/filter", {"flow_runs": {"name": {"like_": "etl"}}}),
    ("flow_runs/count", {"flow_runs": {"name": {"like_": "etl"}}}),
    ("flow_runs/count", {"flow_runs": FAILED}),
    ("flow_runs/count", {"flow_runs": {"deployment_id": {"is_null_": True}}}),
    ("flow_runs/count", {"work_pools": {"name": {"any_": ["pool"]}}}),
    ("flow_runs/filter", {"work_pools": {"name": {"any_": ["pool"]}}}),
    ("flow_runs/count", {"work_pool_queues": {"name": {"any_": ["q"]}}}),
    ("flow_runs/filter", {"work_pool_queues": {"name": {"startswith_": ["q"]}}, "flow_runs": FAILED}),
    ("task_runs/filter", {"flows": {"name": {"any_": ["etl"]}}}),
    ("task_runs/filter", {"task_runs": {"subflow_runs": {"exists_": True}}}),
    ("task_runs/count", {"task_runs": FAILED}),
    ("task_runs/count", {"task_runs": {"operator": "or_", "tags": {"all_": ["gpu"]}, **FAILED}}),
    ("ui/task_runs/dashboard/counts", {"task_runs": {"start_time": {"after_": MONTH["history_start"]}}}),
    ("results/filter", {}),
    ("results/filter", {"storage": "location:lake", "before": "ffffffff-ffff-7fff-bfff-ffffffffffff"}),
)


@pytest.fixture(scope="module")
def forty_runs(django_db_setup, django_db_blocker) -> Iterator[None]:
    """Forty runs and what the planner knows of them; each test has a transaction inside of this one."""
    with django_db_blocker.unblock():
        with transaction.atomic():
            forget_statistics()
            make_runs()
            yield
            transaction.set_rollback(True)
        forget_statistics()


def make_runs() -> None:
    flows, deployment = [make_flow(name) for name in ("etl", "census", "a", "b")], make_deployment()
    for number in range(40):
        kind = ("COMPLETED", "FAILED", "RUNNING", "SCHEDULED")[number % 4]
        run = make_flow_run(
            kind,
            flow=flows[number // 10],
            now=later(number),
            tags=["gpu"],
            name=f"etl-{number}",
            deployment_id=deployment.pk,
        )
        make_task_run("FAILED" if kind == "FAILED" else "COMPLETED", flow_run=run, now=later(number))
    add_up(NOON)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        if DATABASE == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")


@pytest.fixture
def client(forty_runs, db) -> Client:
    return Client(headers={"host": "localhost:4200"})


def reads_whole_table(sql: str, plan: list[str]) -> bool:
    if DATABASE == "postgresql":
        return any(re.search(rf"Seq Scan on {RUNS}\b", line) for line in plan)
    scanned = {line.removeprefix("SCAN ") for line in plan if re.fullmatch(r"SCAN \w+", line)}
    return any(re.fullmatch(RUNS, name) or re.search(rf'\b{RUNS}"? {name}\b', sql) for name in scanned)


def plan_of(sql: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(("EXPLAIN QUERY PLAN " if DATABASE == "sqlite" else "EXPLAIN ") + sql)
        return [str(row[-1]) for row in cursor.fetchall()]


@pytest.mark.parametrize("asked", [*PAGES, *QUESTIONS], ids=str)
def test_no_query_reads_a_whole_table(client, asked):
    with CaptureQueriesContext(connection) as queries:
        if isinstance(asked, str):
            answer = client.get(asked)
        else:
            answer = client.post(f"/api/{asked[0]}", json.dumps(asked[1]), content_type="application/json")
    assert answer.status_code == 200

    asked_for = [one["sql"] for one in list(queries) if one["sql"].startswith(("SELECT", "(SELECT", "WITH"))]
    assert [(sql, plan) for sql in asked_for if reads_whole_table(sql, plan := plan_of(sql))] == []


@pytest.mark.parametrize("sort", ["ID_DESC", "EXPECTED_START_TIME_DESC", "NAME_ASC"])
def test_a_part_of_many_names_is_sought_in_their_index(client, monkeypatch, sort):
    """There are more names than are compared one by one, and the first runs of the list have others."""
    for module, bound in ((names, "MOST_NAMES"), (names, "FEW"), (by_part_of_name, "NAMES_SEARCHED")):
        monkeypatch.setattr(module, bound, 3)
    if sort == "ID_DESC":
        # The index of names has the ids: these need no other runs, however many there are.
        monkeypatch.setattr(by_part_of_name, "NAMED_READ", 3)
    asked = {"flow_runs": {"name": {"like_": "TL-1"}}, "sort": sort, "limit": 5}
    with CaptureQueriesContext(connection) as queries:
        found = client.post("/api/flow_runs/filter", json.dumps(asked), "application/json").json()

    compared = [one["sql"] for one in list(queries) if "%tl-1%" in one["sql"].lower() and "RECURSIVE" not in one["sql"]]
    plans = ["\n".join(plan_of(sql)) for sql in compared]
    assert len(found) == 5
    assert "flow_run_by_name" in plans[-1]
    assert [plan for sql, plan in zip(compared, plans, strict=True) if reads_whole_table(sql, plan.split("\n"))] == []


def test_a_part_that_many_names_have_is_sought_in_the_order_of_the_list(client, monkeypatch):
    """The first runs of the list have other names. Reading and sorting all matching runs would cost more."""
    for module, bound in (
        (names, "MOST_NAMES"),
        (names, "FEW"),
        (by_part_of_name, "NAMES_SEARCHED"),
        (by_part_of_name, "NAMED_READ"),
    ):
        monkeypatch.setattr(module, bound, 3)
    asked = {"flow_runs": {"name": {"like_": "TL-1"}}, "sort": "EXPECTED_START_TIME_DESC", "limit": 5}
    with CaptureQueriesContext(connection) as queries:
        found = client.post("/api/flow_runs/filter", json.dumps(asked), "application/json").json()

    sought = [one["sql"] for one in list(queries) if "%tl-1%" in one["sql"].lower() and "RECURSIVE" not in one["sql"]]
    assert len(found) == 5
    # The first runs of the list, then one more than would be sorted, then the page itself.
    assert [re.findall(r"LIMIT (\d+)", sql) for sql in sought] == [["3", "5"], ["4"], ["5"]]


@pytest.mark.skipif(DATABASE != "sqlite", reason="PostgreSQL reads few rows themselves")
@pytest.mark.parametrize("kind", ["flow", "task"])
def test_failures_since_some_day_are_counted_in_an_index_alone(client, kind):
    since = {"start_time": {"after_": (NOON - timedelta(days=7)).isoformat()}}
    with CaptureQueriesContext(connection) as queries:
        client.post(f"/api/{kind}_runs/count", json.dumps({f"{kind}_runs": FAILED | since}), "application/json")

    (counted,) = [one["sql"] for one in queries if "COUNT(" in one["sql"]]
    (plan,) = plan_of(counted)
    assert f"USING COVERING INDEX {kind}_run_ended_badly_since" in plan


@pytest.mark.skipif(DATABASE != "sqlite", reason="PostgreSQL joins both tables")
@pytest.mark.parametrize(("most", "uses_index"), [(9, False), (10, True)])
@pytest.mark.parametrize("part", ["id", "name"])
def test_task_runs_of_flows_with_many_runs_are_counted_without_an_index_of_flows(
    client, monkeypatch, most, uses_index, part
):
    """The flow has ten runs. With more than `most` runs, the row of each would be read for its id."""
    monkeypatch.setattr(searches, "FEW_RUNS_OF_FLOWS", most)
    flow = Flow.objects.get(name="etl")
    asked = {"flows": {part: {"any_": [str(getattr(flow, part))]}}}
    with CaptureQueriesContext(connection) as queries:
        answer = client.post("/api/task_runs/count", json.dumps(asked), "application/json")

    (counted,) = [one["sql"] for one in queries if "COUNT(" in one["sql"]]
    assert answer.json() == 10
    assert any("flow_run_by_flow" in line for line in plan_of(counted)) is uses_index


@pytest.mark.parametrize("question", ["flow_runs/count", "flows/filter"])
@pytest.mark.parametrize(("part", "are_few"), [(9 / 40, False), (10 / 40, True)])
def test_flow_runs_are_sought_by_task_runs_only_on_sqlite_and_if_these_are_few(
    client, monkeypatch, question, part, are_few
):
    """PostgreSQL chooses the join itself. Ten of forty task runs failed."""
    monkeypatch.setattr(searches, "FEW_TASK_RUNS", part)
    with CaptureQueriesContext(connection) as queries:
        answer = client.post(f"/api/{question}", json.dumps({"task_runs": FAILED}), "application/json")

    asked = [one["sql"] for one in queries if "FAILED" in one["sql"]]
    assert answer.status_code == 200
    assert len(asked) == (2 if DATABASE == "sqlite" else 1)
    assert ("EXISTS" not in asked[-1]) is (are_few and DATABASE == "sqlite")


@pytest.mark.parametrize("question", ["flow_runs/count", "flows/filter"])
def test_task_runs_are_not_counted_for_flow_runs_that_are_named(client, question):
    named = {"id": {"any_": [str(FlowRun.objects.values_list("pk", flat=True)[0])]}}
    with CaptureQueriesContext(connection) as queries:
        client.post(f"/api/{question}", json.dumps({"flow_runs": named, "task_runs": FAILED}), "application/json")

    assert len([one["sql"] for one in queries if "FAILED" in one["sql"]]) == 1


@pytest.mark.skipif(DATABASE != "sqlite", reason="PostgreSQL reads all runs fast enough")
@pytest.mark.parametrize("kind", ["flow", "task"])
@pytest.mark.parametrize("question", ["count", "filter"])
def test_runs_without_tags_are_found_in_their_index(client, kind, question):
    with CaptureQueriesContext(connection) as queries:
        client.post(f"/api/{kind}_runs/{question}", json.dumps(WITHOUT_TAGS[kind]), "application/json")

    plan = plan_of(next(one["sql"] for one in queries if "json_array_length" in one["sql"]))
    assert any(f"{kind}_run_without_tags" in line for line in plan), plan


@pytest.mark.skipif(DATABASE != "sqlite", reason="PostgreSQL has no index of runs without tags")
def test_a_list_of_many_runs_without_tags_is_read_in_its_order(client, monkeypatch):
    """In the index of runs without tags, SQLite would sort all of them, which may be nearly all runs."""
    monkeypatch.setattr(few_sorted, "FEW_ROWS", 3)
    with CaptureQueriesContext(connection) as queries:
        client.post("/api/task_runs/filter", json.dumps(WITHOUT_TAGS["task"]), "application/json")

    asked = [one["sql"] for one in queries if one["sql"].startswith("SELECT") and "json_array_length" in one["sql"]]
    listed = [sql for sql in asked if "LIMIT 4" not in sql]
    assert listed
    assert not any("task_run_without_tags" in line for sql in listed for line in plan_of(sql))


@pytest.mark.skipif(DATABASE != "postgresql", reason="SQLite reads two indexes for one condition")
@pytest.mark.parametrize("kind", ["flow", "task"])
def test_runs_with_a_rare_tag_or_another_condition_are_counted_in_two_indexes(client, kind):
    """PostgreSQL would read all runs, and look up each among those with the tag."""
    asked = {f"{kind}_runs": {"operator": "or_", "tags": {"all_": ["gpu"]}, **FAILED}}
    with CaptureQueriesContext(connection) as queries:
        answer = client.post(f"/api/{kind}_runs/count", json.dumps(asked), "application/json")

    (counted,) = [one["sql"] for one in queries if "COUNT(" in one["sql"]]
    assert answer.json() == (40 if kind == "flow" else 10)
    assert [line for line in plan_of(counted) if "SubPlan" in line] == []


def test_no_report_reads_a_whole_table(client):
    """A flow runs and reports new task runs, and known ones again."""
    with CaptureQueriesContext(connection) as queries:
        flow_run = make_flow_run("RUNNING")
        new = [
            {"flow_run_id": str(flow_run.pk), "task_key": "noop", "dynamic_key": str(number)} for number in range(200)
        ]
        for _ in range(2):
            reported = [
                {"task_run_id": str(uuid4()), "task_run": one, "state": {"type": "PENDING", "id": str(uuid4())}}
                for one in new
            ]
            answer = client.post("/api/task_runs/transitions", json.dumps({"items": reported}), "application/json")
            assert answer.status_code == 200, answer.content

    asked_for = [one["sql"] for one in list(queries) if one["sql"].startswith(("SELECT", "(SELECT", "WITH", "UPDATE"))]
    assert [(sql[:200], plan) for sql in asked_for if reads_whole_table(sql, plan := plan_of(sql))] == []


def test_a_query_without_an_index_is_noticed(client):
    sql = "SELECT id FROM runs_flowrun WHERE auto_scheduled"

    assert reads_whole_table(sql, plan_of(sql))
