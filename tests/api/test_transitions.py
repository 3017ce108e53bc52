"""POST /task_runs/transitions: many steps in one request, each with its own verdict."""

from __future__ import annotations

import gc
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from orionflow.contract.ids import uuid7
from runs.models import FlowRun, TaskRun
from tests.factories import history_of, make_flow_run, make_limit, make_task_run

pytestmark = pytest.mark.django_db


def step(run_id, type, *, create=None, **fields):
    state = {"type": type, "id": str(uuid7()), "timestamp": timezone.now().isoformat(), **fields}
    return {"task_run_id": str(run_id), "state": state, **({"task_run": create} if create else {})}


def whole_life(flow_run, key="0"):
    run_id = uuid7()
    create = {"task_key": "t", "dynamic_key": key, "flow_run_id": str(flow_run.id), "name": f"t-{key}"}
    return [step(run_id, "PENDING", create=create), step(run_id, "RUNNING"), step(run_id, "COMPLETED")]


def send(api, items, **more):
    answer = api.send("/task_runs/transitions", {"items": items, "sent_at": timezone.now().isoformat(), **more})
    assert answer.status_code == 200, answer.json()
    return answer.json()


def test_whole_lives_are_accepted_without_further_words(api):
    flow_run = make_flow_run("RUNNING")

    answer = send(api, [*whole_life(flow_run, "0"), *whole_life(flow_run, "1")])

    assert answer == {"results": [{"status": "ACCEPT"}] * 6, "orders": {}}
    assert [history_of(run) for run in TaskRun.objects.all()] == [["Pending", "Running", "Completed"]] * 2


def test_a_batch_is_freed_without_a_full_garbage_collection(api):
    items = whole_life(make_flow_run("RUNNING"))
    send(api, items)
    gc.collect()
    gc.disable()

    try:
        send(api, items)
        left = Counter(type(one).__name__ for one in gc.get_objects())
    finally:
        gc.enable()

    assert {name: left[name] for name in ("TransitionBatch", "TransitionItem", "Unit", "MovingRun") if left[name]} == {}


def test_a_batch_is_not_looked_through_for_garbage(api):
    flow_run = make_flow_run("RUNNING")
    items = [step for key in range(300) for step in whole_life(flow_run, str(key))]
    collections = []
    watch = lambda phase, info: collections.append(info["generation"]) if phase == "start" else None  # noqa: E731
    send(api, items[:3])
    body = {"items": items, "sent_at": timezone.now().isoformat()}

    gc.callbacks.append(watch)
    try:
        api.send("/task_runs/transitions", body)
    finally:
        gc.callbacks.remove(watch)

    # Without a pause there are about thirty.
    assert len(collections) <= 5


def test_a_repeated_batch_gets_the_same_answer_and_changes_nothing(api):
    items = whole_life(make_flow_run("RUNNING"))

    first, again = send(api, items), send(api, items)

    assert [result["status"] for result in first["results"]] == [result["status"] for result in again["results"]]
    assert history_of(TaskRun.objects.get()) == ["Pending", "Running", "Completed"]


def test_a_call_that_was_stored_before_is_answered_with_its_id_and_state(api):
    known = make_task_run("RUNNING", task_key="t", dynamic_key="0")
    item = whole_life(FlowRun.objects.get(pk=known.flow_run_id))[0]

    answer = send(api, [item])["results"][0]

    assert answer["task_run_id"] == str(known.id)
    assert answer["state"]["type"] == "RUNNING"


def test_a_retry_is_a_reject_with_the_state_to_wait_for(api):
    run = make_task_run("RUNNING", retries=1, retry_delay=10)

    answer = send(api, [step(run.id, "FAILED", message="boom")])["results"][0]

    assert (answer["status"], answer["state"]["name"]) == ("REJECT", "AwaitingRetry")
    assert answer["reason"]
    assert answer["state"]["state_details"]["scheduled_time"]


def test_a_full_limit_is_a_wait(api):
    make_limit("gpu", 1, taken_by=[make_task_run("RUNNING")])
    run = make_task_run("PENDING", tags=["gpu"])

    answer = send(api, [step(run.id, "RUNNING")])["results"][0]

    assert (answer["status"], answer["delay_seconds"], answer["state"]["type"]) == ("WAIT", 30, "PENDING")


def test_an_unknown_run_is_an_error_of_its_item_alone(api):
    flow_run = make_flow_run("RUNNING")

    answer = send(api, [step(uuid4(), "RUNNING"), *whole_life(flow_run)])["results"]

    assert (answer[0]["status"], answer[0]["code"]) == ("ERROR", "task_run_not_found")
    assert [result["status"] for result in answer[1:]] == ["ACCEPT"] * 3


def test_orders_name_a_cancelled_flow_run(api):
    flow_run = make_flow_run("CANCELLING")
    run = make_task_run("RUNNING", flow_run=flow_run)

    answer = send(api, [step(run.id, "COMPLETED")])

    assert answer["orders"] == {str(flow_run.id): "cancel"}


def test_a_lost_attempt_learns_of_it(api):
    run = make_task_run("RUNNING")
    FlowRun.objects.filter(pk=run.flow_run_id).update(epoch=2)

    answer = send(api, [step(run.id, "COMPLETED")], epochs={str(run.flow_run_id): 1})

    assert (answer["results"][0]["status"], answer["results"][0]["code"]) == ("ERROR", "run_lost")
    assert answer["orders"] == {str(run.flow_run_id): "lost"}


def test_the_senders_clock_is_kept(api):
    run, at = make_task_run("PENDING"), timezone.now() - timedelta(seconds=5)

    send(api, [step(run.id, "RUNNING", timestamp=at.isoformat())])

    state = api.read(f"/task_runs/{run.id}").json()["state"]
    assert state["timestamp"] == at.isoformat()


def test_a_state_without_id_comes_back_with_the_one_it_got(api):
    run = make_task_run("PENDING")

    answer = send(api, [{"task_run_id": str(run.id), "state": {"type": "RUNNING"}}])["results"][0]

    assert (answer["status"], answer["state"]["type"]) == ("ACCEPT", "RUNNING")
    assert answer["state"]["id"]


def test_a_run_may_be_created_without_a_state(api):
    flow_run = make_flow_run("RUNNING")
    item = whole_life(flow_run)[0]
    del item["state"]

    answer = send(api, [item])["results"]

    assert answer == [{"status": "ACCEPT"}]
    assert TaskRun.objects.get().state_type is None


def test_an_item_that_does_not_fit_refuses_the_batch_by_its_place(api):
    flow_run = make_flow_run("RUNNING")
    bad = step(uuid4(), "RUNNING", mood="good")

    answer = api.send("/task_runs/transitions", {"items": [*whole_life(flow_run), bad]})

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == ["body", "items", 3, "state", "mood"]
    assert not TaskRun.objects.exists()


def test_more_than_a_thousand_items_are_refused(api):
    answer = api.send("/task_runs/transitions", {"items": [step(uuid4(), "RUNNING")] * 1001})

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == ["body", "items"]


def test_five_hundred_items_cost_no_more_queries_than_three(api, counted):
    flow_run = make_flow_run("RUNNING")
    many = [item for key in range(167) for item in whole_life(flow_run, str(key))]

    with counted("apply transitions"):
        send(api, whole_life(flow_run, "few"))
    with counted("apply transitions"):
        send(api, many)
