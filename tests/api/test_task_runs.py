"""POST /task_runs/, reading, renaming and deleting task runs."""

from __future__ import annotations

from uuid import uuid4

import pytest

from runs.models import TaskRun
from tests.factories import make_flow_run, make_task_run

pytestmark = pytest.mark.django_db


def test_a_task_run_is_created_pending(api, counted):
    flow_run = make_flow_run()
    inputs = {"xs": [{"input_type": "task_run", "id": str(uuid4())}], "n": [{"input_type": "parameter", "name": "n"}]}
    body = {"flow_run_id": str(flow_run.id), "task_key": "a-1", "dynamic_key": "0", "task_inputs": inputs}

    with counted("create task run"):
        answer = api.send("/task_runs/", body)

    run = answer.json()
    assert answer.status_code == 201
    assert (run["state_type"], run["task_inputs"], run["flow_run_run_count"]) == ("PENDING", inputs, 0)
    assert run["state"]["state_details"]["flow_run_id"] == str(flow_run.id)
    assert run["state"]["state_details"]["task_run_id"] == run["id"]


def test_the_same_call_of_a_task_is_stored_once_and_returned_in_its_current_state(api):
    run = make_task_run("RUNNING", task_key="a-1", dynamic_key="0")
    body = {"flow_run_id": str(run.flow_run_id), "task_key": "a-1", "dynamic_key": "0", "id": str(uuid4())}

    answer = api.send("/task_runs/", body)

    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["state_type"]) == (str(run.id), "RUNNING")
    assert TaskRun.objects.count() == 1


def test_the_maker_may_choose_the_id(api):
    own_id = str(uuid4())

    run = api.send("/task_runs/", {"task_key": "a", "dynamic_key": "0", "id": own_id}).json()

    assert (run["id"], run["flow_run_id"]) == (own_id, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cache_key", "x" * 2001),
        ("task_inputs", {"x": [{"input_type": "task_run", "id": "nonsense"}]}),
        ("task_inputs", {"x": [{"input_type": "magic"}]}),
        ("empirical_policy", {"retry_delay": [1, -1]}),
        ("dynamic_key", None),
        ("colour", "red"),
    ],
)
def test_a_field_that_does_not_fit_is_named(api, field, value):
    answer = api.send("/task_runs/", {"task_key": "a", "dynamic_key": "0", field: value})

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"][:2] == ["body", field]


def test_delays_may_be_a_list(api):
    policy = {"retries": 2, "retry_delay": [1, 2.5]}

    run = api.send("/task_runs/", {"task_key": "a", "dynamic_key": "0", "empirical_policy": policy}).json()

    assert run["empirical_policy"]["retry_delay"] == [1, 2.5]


def test_a_task_run_of_an_unknown_flow_run_is_refused(api):
    answer = api.send("/task_runs/", {"flow_run_id": str(uuid4()), "task_key": "a", "dynamic_key": "0"})

    assert answer.status_code == 409
    assert answer.json()["code"] == "flow_run_not_found"


def test_a_task_run_is_read_renamed_and_deleted(api, counted):
    run = make_task_run("RUNNING")

    with counted("read task run"):
        answer = api.read(f"/task_runs/{run.id}").json()
    renamed = api.call("PATCH", f"/task_runs/{run.id}", {"name": "new"})
    name = api.read(f"/task_runs/{run.id}").json()["name"]
    deleted = api.call("DELETE", f"/task_runs/{run.id}")

    assert (answer["state"]["name"], answer["run_count"]) == ("Running", 1)
    assert (renamed.status_code, name, deleted.status_code) == (204, "new", 204)
    assert api.read(f"/task_runs/{run.id}").json() == {"detail": "Task run not found"}


def test_a_missing_run_cannot_be_changed_or_deleted(api):
    assert api.call("PATCH", f"/task_runs/{uuid4()}", {"name": "x"}).status_code == 404
    assert api.call("PATCH", f"/task_runs/{uuid4()}", {}).status_code == 404
    assert api.call("DELETE", f"/task_runs/{uuid4()}").status_code == 404
