"""Writes that name their attempt: stored while it lasts, refused whole once it was replaced."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestration.core.states import running
from orchestration.services import propose_flow_run_state
from runs.models import Artifact, FlowRun, FlowRunInput, FlowRunState, Log, TaskRun, TaskRunState
from tests.factories import make_flow, make_flow_run, make_task_run, state_of
from tests.services.dispatching import make_deployment

pytestmark = pytest.mark.django_db
MISSING = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def run():
    made = make_flow_run("RUNNING")
    FlowRun.objects.filter(pk=made.pk).update(epoch=2)
    return made


def headers(run, epoch):
    return {"Orion-Run-Id": str(getattr(run, "pk", run)), "Orion-Run-Epoch": str(epoch)}


def writes(run):
    """Method, path and body of everything that a flow's process writes."""
    nested, task = make_flow_run("RUNNING"), make_task_run("RUNNING", flow_run=run)
    deployment = make_deployment()
    line = {
        "name": "n",
        "level": 20,
        "message": "m",
        "timestamp": timezone.now().isoformat(),
        "flow_run_id": str(run.pk),
    }
    new_task = {"flow_run_id": str(run.pk), "task_key": "t", "dynamic_key": "1"}
    yield "POST", "/logs/", [line]
    yield "POST", "/artifacts/", {"key": "k", "flow_run_id": str(run.pk)}
    yield "POST", f"/flow_runs/{run.pk}/input", {"key": "k", "value": "1"}
    yield "POST", "/task_runs/", new_task
    yield "POST", "/flow_runs/", {"flow_id": str(run.flow_id)}
    yield "PATCH", f"/flow_runs/{run.pk}", {"name": "changed"}
    yield "PATCH", f"/task_runs/{task.pk}", {"name": "changed"}
    yield "POST", f"/flow_runs/{nested.pk}/set_state", {"state": {"type": "COMPLETED"}}
    yield "POST", f"/task_runs/{task.pk}/set_state", {"state": {"type": "COMPLETED"}}
    yield "POST", f"/flow_runs/{run.pk}/set_state", {"state": {"type": "COMPLETED"}}
    yield "POST", f"/deployments/{deployment.pk}/create_flow_run", {}
    yield "POST", "/variables/", {"name": "v", "value": "1"}


def rows():
    tables = (Log, Artifact, FlowRunInput, TaskRun, FlowRun, FlowRunState, TaskRunState)
    return [table.objects.count() for table in tables], set(FlowRun.objects.values_list("name", flat=True))


def test_writes_of_a_replaced_attempt_are_refused_and_not_stored(api, run):
    every = list(writes(run))
    before = rows()

    for method, path, body in every:
        answer = api.call(method, path, body, **headers(run, 1))

        assert (path, answer.status_code, answer.json()["code"]) == (path, 409, "run_lost")
    assert rows() == before


def test_writes_of_the_current_attempt_are_stored(api, run):
    for method, path, body in writes(run):
        answer = api.call(method, path, body, **headers(run, 2))

        assert (path, answer.status_code < 300) == (path, True), answer.content


def test_readers_are_not_fenced(api, run):
    answer = api.send("/flow_runs/filter", {}, **headers(run, 1))

    assert answer.status_code == 200


def test_a_writer_of_a_deleted_run_learns_of_it(api):
    answer = api.send("/flows/", {"name": "f"}, **headers(uuid4(), 1))

    assert answer.status_code == 404


def test_invalid_headers_are_refused(api, run):
    assert api.send("/flows/", {"name": "f"}, **headers("x", 1)).status_code == 422
    assert api.send("/flows/", {"name": "f"}, **headers(run, "x")).status_code == 422


def test_one_header_alone_means_nothing_to_other_writes(api, run):
    assert api.send("/flows/", {"name": "f"}, **{"Orion-Run-Epoch": "1"}).status_code == 201


def test_a_batch_of_a_replaced_attempt_is_refused_item_by_item_with_the_order_to_stop(api, run):
    nested = make_flow_run("RUNNING")
    mine, deep = make_task_run("RUNNING", flow_run=run), make_task_run("RUNNING", flow_run=nested)
    done = {"type": "COMPLETED", "timestamp": timezone.now().isoformat()}
    batch = {"items": [{"task_run_id": str(one.pk), "state": done} for one in (mine, deep)]}

    lost = api.send("/task_runs/transitions", batch, **headers(run, 1)).json()
    states = [state_of(one) for one in (mine, deep)]
    stored = api.send("/task_runs/transitions", batch, **headers(run, 2)).json()

    assert [result["code"] for result in lost["results"]] == ["run_lost", "run_lost"]
    assert lost["orders"] == {str(run.pk): "lost"}
    assert states == ["RUNNING", "RUNNING"]
    assert [result["status"] for result in stored["results"]] == ["ACCEPT", "ACCEPT"]
    assert stored["orders"] == {}


def test_naming_an_attempt_costs_one_look_at_its_run(api, run):
    def cost(**fields):
        with CaptureQueriesContext(connection) as queries:
            api.send("/flows/", {"name": make_flow().name}, **fields)
        return len([one for one in queries if not one["sql"].startswith(("SAVEPOINT", "RELEASE"))])

    assert cost(**headers(run, 2)) == cost() + 1


def test_an_attempt_that_ended_may_still_finish_its_writes(api, run):
    propose_flow_run_state(run_id=run.pk, proposed=running(), now=timezone.now(), force=True)
    api.send(f"/flow_runs/{run.pk}/set_state", {"state": {"type": "COMPLETED"}}, **headers(run, 2))

    answer = api.send("/artifacts/", {"key": "k"}, **headers(run, 2))

    assert answer.status_code == 201
