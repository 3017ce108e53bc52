"""The filter language against an oracle in Python, over a small world of runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from deployments.models import WorkPool, WorkQueue
from runs.lists.filters import conditions, names, searches
from runs.lists.filters.sorts import ORDERS, FlowRunSort, TaskRunSort
from runs.lists.ways import by_next_start, by_part_of_name, few_sorted
from runs.models import Flow, FlowRun, TaskRun
from tests.api.oracle import like, matching_ids
from tests.factories import NOON, later, make_flow, make_flow_run, make_state, make_task_run
from tests.rounds import examples

pytestmark = [pytest.mark.django_db, pytest.mark.undivided]

NAMES = ["Census", "census-2", "100% sure", "100x sure", "under_score", "underXscore", "back\\slash", "ångström"]
TAGS = ["nightly", "gpu", 'quo"te', "ünï", "a'b", "[]"]
TYPES = ["SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED"]
STATE_NAMES = ["Scheduled", "Late", "Running", "Completed", "Custom"]
ID = [str(UUID(int=number + (7 << 76) + (2 << 62))) for number in range(1, 13)]
TIMES = [later(hours * 3600).isoformat() for hours in range(-3, 4)]


@pytest.fixture(scope="module")
def flows(django_db_setup, django_db_blocker):
    """Twelve flow runs of three flows and as many task runs, each a little different.

    Every test of this file finds them, and has a transaction inside of theirs.
    """
    with django_db_blocker.unblock(), transaction.atomic():
        yield make_rows()
        transaction.set_rollback(True)


def make_rows():
    flows = [make_flow(name) for name in ("etl", "census", "empty")]
    for number, run_id in enumerate(ID):
        state = make_state(TYPES[number % 6], STATE_NAMES[number % 5], scheduled_time=later((number - 6) * 1800))
        run = make_flow_run(
            state,
            flow=flows[number % 2],
            now=NOON + timedelta(minutes=20 * (number - 6)),
            id=UUID(run_id),
            name=NAMES[number % 8],
            tags=TAGS[number % 6 : number % 6 + number % 3],
            flow_version=[None, "1", "2"][number % 3],
            work_queue_name=[None, "q1"][number % 2],
            idempotency_key=[None, f"key-{number % 4}"][number % 2 if number < 4 else 0],
        )
        if number % 3 == 0:
            make_task_run(
                make_state(TYPES[number % 6]),
                flow_run=run,
                name=NAMES[number % 8],
                tags=TAGS[: number % 4],
                now=NOON + timedelta(minutes=20 * (number - 6)),
            )
    return flows


@pytest.fixture(params=["few", "many"])
def world(flows, db, request, monkeypatch):
    """Those rows; by the bounds few, or many."""
    if request.param == "many":
        for module, bound in ((names, "MOST_NAMES"), (names, "FEW"), (searches, "FEW_PARENTS"), (conditions, "FEW")):
            monkeypatch.setattr(module, bound, 3)
        for bound in ("FEW_FLOWS", "FEW_RUNS_OF_FLOWS"):
            monkeypatch.setattr(searches, bound, 1)
        monkeypatch.setattr(by_part_of_name, "NAMES_SEARCHED", 4)
        monkeypatch.setattr(by_part_of_name, "NAMED_READ", 1)
    monkeypatch.setattr(searches, "FEW_TASK_RUNS", 1 if request.param == "few" else 1 / 4)
    return flows


def optional(**fields):
    """Some of the fields, each perhaps null."""
    return st.fixed_dictionaries({}, optional={name: st.one_of(st.none(), kind) for name, kind in fields.items()})


def some(values):
    return st.lists(st.sampled_from(values), max_size=3)


operator = st.sampled_from(["and_", "or_"])
patterns = st.sampled_from(
    [*("census", "CENSUS", "100%", "100_", "_", "%", "", "r_s", "\\", "x s", "-", "zzz"), *("å", "Å", "NGSTRÖ", "å%Ö_")]
)
times = st.sampled_from(TIMES)
tags = optional(all_=some(TAGS), is_null_=st.booleans(), operator=operator).map(lambda leaf: _given(leaf))
name = optional(any_=some(NAMES), like_=patterns)
text = optional(any_=some(["1", "2", "q1", "other"]))
text_or_null = optional(any_=some(["q1", "other"]), is_null_=st.booleans(), operator=operator).map(
    lambda leaf: _given(leaf)
)
state = optional(type=optional(any_=some(TYPES)), name=optional(any_=some(STATE_NAMES)), operator=operator).map(
    lambda leaf: _given(leaf)
)
window = optional(before_=times, after_=times)
flow_run_filters = optional(
    operator=operator,
    id=optional(any_=some(ID), not_any_=some(ID)),
    name=name,
    tags=tags,
    state=state,
    flow_version=text,
    work_queue_name=text_or_null,
    start_time=optional(before_=times, after_=times, is_null_=st.booleans()),
    expected_start_time=window,
    next_scheduled_start_time=window,
    idempotency_key=optional(any_=some(["key-1", "key-3"]), not_any_=some(["key-1", "key-3"])),
).map(lambda filter: _given(filter))
task_run_filters = optional(
    operator=operator,
    name=name,
    tags=tags,
    state=state,
    start_time=optional(before_=times, after_=times, is_null_=st.booleans()),
    flow_run_id=optional(any_=some(ID), is_null_=st.booleans()),
).map(lambda filter: _given(filter))


def _given(filter):
    """Leave out null conditions, which count as missing; the operator is never null."""
    return {name: value for name, value in filter.items() if not (name == "operator" and value is None)}


law = examples(12, 600)


@law
@given(filter=flow_run_filters)
def test_flow_runs_are_found_by_the_filter_language(api, world, filter):
    rows = [{**run, "id": str(run["id"])} for run in FlowRun.objects.values()]

    answer = api.send("/flow_runs/filter", {"flow_runs": filter})
    count = api.send("/flow_runs/count", {"flow_runs": filter})

    assert answer.status_code == 200, answer.json()
    assert {run["id"] for run in answer.json()} == matching_ids(rows, filter)
    assert count.json() == len(answer.json())


@law
@given(part=patterns, sort=st.sampled_from(FlowRunSort), limit=st.integers(1, 6), offset=st.integers(0, 3))
def test_a_part_of_names_is_listed_in_every_order(api, world, part, sort, limit, offset):
    order = ORDERS[sort]
    expected = [str(run.pk) for run in FlowRun.objects.order_by(*order) if like(run.name, part)][offset:][:limit]
    asked = {"flow_runs": {"name": {"like_": part}}, "sort": sort, "limit": limit, "offset": offset}

    assert [run["id"] for run in api.send("/flow_runs/filter", asked).json()] == expected


@law
@given(filter=task_run_filters, sort=st.sampled_from(TaskRunSort), limit=st.integers(0, 4), offset=st.integers(0, 5))
def test_task_runs_are_listed_in_every_order(api, world, monkeypatch, filter, sort, limit, offset):
    monkeypatch.setattr(few_sorted, "FEW_ROWS", 1)
    monkeypatch.setattr(by_next_start, "FEW_WAITING", 1)
    rows = [{**run, "id": str(run["id"]), "flow_run_id": str(run["flow_run_id"])} for run in TaskRun.objects.values()]
    found = matching_ids(rows, filter)
    expected = [str(run.pk) for run in TaskRun.objects.order_by(*ORDERS[sort]) if str(run.pk) in found]
    asked = {"task_runs": filter, "sort": sort, "limit": limit, "offset": offset}

    listed = api.send("/task_runs/filter", asked).json()

    assert [run["id"] for run in listed] == expected[offset:][:limit]


@law
@given(filter=task_run_filters)
def test_task_runs_are_found_by_the_filter_language(api, world, filter):
    rows = [{**run, "id": str(run["id"]), "flow_run_id": str(run["flow_run_id"])} for run in TaskRun.objects.values()]

    answer = api.send("/task_runs/filter", {"task_runs": filter})

    assert answer.status_code == 200, answer.json()
    assert {run["id"] for run in answer.json()} == matching_ids(rows, filter)
    assert api.send("/task_runs/count", {"task_runs": filter}).json() == len(answer.json())


@law
@given(flow_runs=flow_run_filters, task_runs=task_run_filters)
def test_a_filter_on_task_runs_asks_for_one_that_matches(api, world, flow_runs, task_runs):
    tasks = [{**row, "id": str(row["id"]), "flow_run_id": str(row["flow_run_id"])} for row in TaskRun.objects.values()]
    with_task = {task["flow_run_id"] for task in tasks if task["id"] in matching_ids(tasks, task_runs)}
    rows = [{**run, "id": str(run["id"])} for run in FlowRun.objects.values()]

    answer = api.send("/flow_runs/filter", {"flow_runs": flow_runs, "task_runs": task_runs})

    expected = matching_ids(rows, flow_runs) & with_task
    assert {run["id"] for run in answer.json()} == expected
    assert api.send("/flow_runs/count", {"flow_runs": flow_runs, "task_runs": task_runs}).json() == len(expected)
    flows = {str(one) for one in FlowRun.objects.filter(pk__in=expected).values_list("flow", flat=True)}
    found = api.send("/flows/filter", {"flow_runs": flow_runs, "task_runs": task_runs}).json()
    assert {flow["id"] for flow in found} == flows


@law
@given(flow_runs=flow_run_filters)
def test_a_filter_on_flow_runs_asks_for_the_task_runs_of_those_that_match(api, world, flow_runs):
    rows = [{**run, "id": str(run["id"])} for run in FlowRun.objects.values()]
    of_runs = {UUID(one) for one in matching_ids(rows, flow_runs)}
    expected = set(TaskRun.objects.filter(flow_run__in=of_runs).values_list("pk", flat=True))

    answer = api.send("/task_runs/filter", {"flow_runs": flow_runs})

    assert {UUID(run["id"]) for run in answer.json()} == expected
    assert api.send("/task_runs/count", {"flow_runs": flow_runs}).json() == len(expected)


@law
@given(
    flows=st.sampled_from(
        [
            *({}, {"name": {"any_": []}}, {"name": {"any_": ["nowhere"]}}, {"name": {"any_": ["etl"]}}),
            *({"name": {"like_": "e"}}, {"name": {"any_": ["etl", "etl", "census"]}}, {"id": {"any_": []}}),
            *({"id": {"any_": [ID[0]]}}, "ids of two flows", {"tags": {"is_null_": True}}, None),
        ]
    ),
    flow_runs=st.none() | flow_run_filters,
)
def test_a_filter_on_flows_asks_for_their_runs(api, world, flows, flow_runs):
    if flows == "ids of two flows":
        flows = {"id": {"any_": [str(flow.pk) for flow in world[:2]]}}
    rows = [{**run, "id": str(run["id"])} for run in FlowRun.objects.values()]
    known = [{**flow, "id": str(flow["id"])} for flow in Flow.objects.values()]
    of_flows = matching_ids(known, flows or {})
    expected = matching_ids([row for row in rows if str(row["flow_id"]) in of_flows], flow_runs or {})
    tasks = {str(one) for one in TaskRun.objects.filter(flow_run__in=expected).values_list("pk", flat=True)}
    asked = {"flows": flows, "flow_runs": flow_runs}

    for kind, ids in (("flow_runs", expected), ("task_runs", tasks)):
        assert {run["id"] for run in api.send(f"/{kind}/filter", asked).json()} == ids
        assert api.send(f"/{kind}/count", asked).json() == len(ids)


def test_an_absent_body_or_null_asks_for_everything(api, world):
    for body in (None, {}, b"null", {"flow_runs": None, "deployments": None}, {"mood": "good"}):
        assert api.send("/flow_runs/count", body).json() == 12


def test_an_empty_filter_still_asks_for_the_row(api, world):
    assert api.send("/flow_runs/count", {"task_runs": {}}).json() == 4
    assert api.send("/flow_runs/count", {"deployments": {}}).json() == 0
    assert api.send("/flow_runs/count", {"flows": {}}).json() == 12
    assert api.send("/flow_runs/count", {"work_pools": {}}).json() == 0
    assert api.send("/flow_runs/count", {"work_pool_queues": {}}).json() == 0
    assert api.send("/flows/count", {"flow_runs": {}}).json() == 2
    assert api.send("/flows/count", {"deployments": {}}).json() == 0


def test_flows_are_found_by_their_runs(api, world):
    found = api.send("/flows/filter", {"flow_runs": {"id": {"any_": ID[:1]}}}).json()

    assert [flow["name"] for flow in found] == ["etl"]


def test_flow_runs_and_task_runs_must_match_through_the_same_run(api, world):
    with_tasks = {"flow_runs": {"id": {"any_": [ID[0]]}}, "task_runs": {}}
    without = {"flow_runs": {"id": {"any_": [ID[1]]}}, "task_runs": {}}

    assert api.send("/flows/count", with_tasks).json() == 1
    assert api.send("/flows/count", without).json() == 0


def test_task_runs_are_found_by_flow_and_flow_run(api, world):
    assert api.send("/task_runs/count", {"flows": {"name": {"any_": ["etl"]}}}).json() == 2
    assert api.send("/task_runs/count", {"flow_runs": {"id": {"any_": ID[:3]}}}).json() == 1


@law
@given(
    pools=st.none() | optional(name=optional(any_=some(["east", "west", "nowhere"]))),
    queues=st.none()
    | optional(name=optional(any_=some(["high", "low", "nowhere"]), startswith_=some(["h", "LO", "lower"]))),
    flow_runs=st.none() | flow_run_filters,
)
def test_a_filter_on_queues_and_pools_asks_for_their_runs(api, queued, pools, queues, flow_runs):
    def has_one_of(name: str, asked: Any) -> bool:
        wanted, starts = asked.get("any_"), asked.get("startswith_")
        begins = starts is None or any(name.startswith(one.lower()) for one in starts)
        return begins and (wanted is None or name in wanted)

    known = {queue.pk: (queue.work_pool.name, queue.name) for queue in WorkQueue.objects.select_related("work_pool")}
    rows = [{**run, "id": str(run["id"])} for run in FlowRun.objects.values()]
    expected = matching_ids(rows, flow_runs or {})
    for place, asked in enumerate((pools, queues)):
        if asked is not None:
            named = {pk for pk, names in known.items() if has_one_of(names[place], asked.get("name") or {})}
            expected &= {row["id"] for row in rows if row["work_queue_id"] in named}
    body = {"work_pools": pools, "work_pool_queues": queues, "flow_runs": flow_runs}

    assert {run["id"] for run in api.send("/flow_runs/filter", body).json()} == expected
    assert api.send("/flow_runs/count", body).json() == len(expected)


@pytest.fixture
def queued(world):
    """The runs of the world in the queues of two pools, or in none."""
    pools = [WorkPool.objects.create(name=name) for name in ("east", "west")]
    queues = [WorkQueue.objects.create(work_pool=pool, name=name) for pool in pools for name in ("high", "low")]
    ids = [*(queue.pk for queue in queues), None]
    for number, run_id in enumerate(ID):
        FlowRun.objects.filter(pk=run_id).update(work_queue_id=ids[number % 5])


def test_flows_without_deployment_are_found(api, world):
    assert api.send("/flows/count", {"flows": {"deployment": {"is_null_": True}}}).json() == 3
    assert api.send("/flows/count", {"flows": {"deployment": {"is_null_": False}}}).json() == 0


def test_nested_flow_runs_are_found_by_their_parent(api, world):
    parent = make_flow_run()
    standing = make_task_run(flow_run=parent)
    child = make_flow_run(parent_task_run_id=standing.id)

    found = api.send("/flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": [str(parent.id)]}}}).json()
    top = api.send("/flow_runs/count", {"flow_runs": {"parent_task_run_id": {"is_null_": True}}}).json()
    tasks = api.send("/task_runs/filter", {"task_runs": {"subflow_runs": {"exists_": True}}}).json()

    assert [run["id"] for run in found] == [str(child.id)]
    assert top == 13
    assert [task["id"] for task in tasks] == [str(standing.id)]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"flow_runs": {"mood": {}}}, ["body", "flow_runs", "mood"]),
        ({"flow_runs": {"name": {"regex_": "("}}}, ["body", "flow_runs", "name", "regex_"]),
        ({"flow_runs": {"state": {"type": {"any_": ["running"]}}}}, ["body", "flow_runs", "state", "type", "any_", 0]),
        ({"flow_runs": {"id": {"any_": ["x"]}}}, ["body", "flow_runs", "id", "any_", 0]),
        ({"flow_runs": {"operator": "xor_"}}, ["body", "flow_runs", "operator"]),
        ({"flow_runs": {"start_time": {"after_": "soon"}}}, ["body", "flow_runs", "start_time", "after_"]),
        ({"flow_runs": {"name": {"like_": "x" * 256}}}, ["body", "flow_runs", "name", "like_"]),
        ({"sort": "name__startswith"}, ["body", "sort"]),
        ({"offset": -1}, ["body", "offset"]),
        ({"limit": "many"}, ["body", "limit"]),
    ],
)
def test_unknown_parts_of_a_filter_are_refused_with_their_place(api, body, place):
    answer = api.send("/flow_runs/filter", body)

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == place


def test_pages_are_limited(api, world):
    too_much = "Invalid limit: must be less than or equal to 200."

    assert api.send("/flow_runs/filter", {"limit": 201}).json()["detail"] == too_much
    assert api.send("/flow_runs/filter", {"limit": -1}).json()["detail"] == too_much
    assert api.send("/flow_runs/filter", {"limit": 0}).json() == []
    assert api.send("/flow_runs/filter", {"offset": 2**62}).json() == []
    assert len(api.send("/flow_runs/filter", {"limit": 5, "offset": 10}).json()) == 2


@pytest.mark.parametrize(
    "sort",
    [
        "ID_DESC",
        "START_TIME_ASC",
        "START_TIME_DESC",
        "EXPECTED_START_TIME_ASC",
        "EXPECTED_START_TIME_DESC",
        "NAME_ASC",
        "NAME_DESC",
        "NEXT_SCHEDULED_START_TIME_ASC",
        "END_TIME_DESC",
    ],
)
def test_pages_of_any_order_hold_every_run_once(api, world, sort):
    pages = [api.send("/flow_runs/filter", {"sort": sort, "limit": 5, "offset": at}).json() for at in (0, 5, 10)]

    assert sorted(run["id"] for page in pages for run in page) == sorted(ID)


def test_a_page_of_any_size_takes_a_constant_number_of_queries(api, world, counted):
    with counted("filter flow runs"):
        api.send("/flow_runs/filter", {"flows": {"name": {"like_": "e"}}, "sort": "EXPECTED_START_TIME_DESC"})
    with counted("filter task runs"):
        api.send("/task_runs/filter", {"flow_runs": {"id": {"any_": ID}}})
    with counted("count flow runs"):
        api.send("/flow_runs/count", {})
