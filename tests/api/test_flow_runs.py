"""POST /flow_runs/, reading, changing and deleting flow runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from deployments.models import Deployment
from runs.models import FlowRun
from tests.factories import make_flow, make_flow_run, make_task_run

pytestmark = pytest.mark.django_db


def test_a_flow_run_is_created_pending_with_a_name_for_people(api, counted):
    flow = make_flow()

    with counted("create flow run"):
        answer = api.send("/flow_runs/", {"flow_id": str(flow.id), "parameters": {"n": [1, {"deep": None}]}})

    run = answer.json()
    assert answer.status_code == 201
    assert (run["state_type"], run["state"]["type"], run["state"]["name"]) == ("PENDING", "PENDING", "Pending")
    assert run["parameters"] == {"n": [1, {"deep": None}]}
    assert "-" in run["name"]
    assert run["state"]["state_details"]["flow_run_id"] == run["id"]
    assert (run["run_count"], run["total_run_time"], run["tags"], run["context"]) == (0, 0.0, [], {})


def test_the_first_state_may_be_any(api):
    flow = make_flow()
    at = "2099-01-01T00:00:00+00:00"
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": at}}

    run = api.send("/flow_runs/", {"flow_id": str(flow.id), "state": state}).json()

    assert run["state_name"] == "Scheduled"
    assert datetime.fromisoformat(run["next_scheduled_start_time"]) == datetime.fromisoformat(at)
    assert run["expected_start_time"] == run["next_scheduled_start_time"]


def test_a_known_idempotency_key_gives_the_stored_run_unchanged(api):
    body = {"flow_id": str(make_flow().id), "idempotency_key": "once", "name": "first"}

    first = api.send("/flow_runs/", body)
    again = api.send("/flow_runs/", {**body, "name": "second"})

    assert (first.status_code, again.status_code) == (201, 200)
    assert (again.json()["id"], again.json()["name"]) == (first.json()["id"], "first")


def test_a_repeat_with_the_makers_own_id_makes_no_second_run(api):
    body = {"flow_id": str(make_flow().id), "id": str(uuid4())}

    first, again = api.send("/flow_runs/", body), api.send("/flow_runs/", body)

    assert (first.status_code, again.status_code) == (201, 200)
    assert FlowRun.objects.count() == 1


def test_an_unknown_flow_is_not_found(api):
    answer = api.send("/flow_runs/", {"flow_id": str(uuid4())})

    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("Data integrity conflict.")
    assert answer.json()["code"] == "flow_not_found"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flow_id", "census"),
        ("parameters", None),
        ("parameters", []),
        ("tags", "nightly"),
        ("state", {"type": "running"}),
        ("state", {"type": "DONE"}),
        ("name", "x" * 1025),
        ("empirical_policy", {"retries": -1}),
        ("empirical_policy", {"overlap": "sometimes"}),
        ("idempotency_key", "x" * 1025),
    ],
)
def test_a_field_that_does_not_fit_is_named(api, field, value):
    answer = api.send("/flow_runs/", {"flow_id": str(uuid4()), field: value})

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"][:2] == ["body", field]


def test_the_policy_of_an_older_client_is_understood(api):
    policy = {"max_retries": 0, "retry_delay_seconds": 0.0, "retries": 2, "retry_delay": 1, "pause_keys": []}

    run = api.send("/flow_runs/", {"flow_id": str(make_flow().id), "empirical_policy": policy}).json()

    assert run["empirical_policy"] | policy == run["empirical_policy"]


@pytest.mark.parametrize("kind", ["flow_runs", "task_runs"])
def test_retries_under_their_old_names_are_answered_under_the_new_names_too(api, kind):
    about = {
        "flow_runs": {"flow_id": str(make_flow().id)},
        "task_runs": {"flow_run_id": str(make_flow_run().id), "task_key": "k", "dynamic_key": "0"},
    }[kind]

    sent = {"max_retries": 2, "retry_delay_seconds": 1.5}
    policy = api.send(f"/{kind}/", {**about, "empirical_policy": sent}).json()["empirical_policy"]

    assert policy == policy | sent | {"retries": 2, "retry_delay": 1.5}


def test_a_flow_run_is_read_with_its_state(api, counted):
    run = make_flow_run("RUNNING")

    with counted("read flow run"):
        answer = api.read(f"/flow_runs/{run.id}")

    assert answer.json()["state"]["id"] == str(run.state_id)
    assert answer.json()["run_count"] == 1


def test_estimates_are_computed_at_the_moment_of_reading(api):
    run = make_flow_run("RUNNING", now=timezone.now() - timedelta(seconds=30))

    answer = api.read(f"/flow_runs/{run.id}").json()

    assert answer["total_run_time"] == 0.0
    assert 30 <= answer["estimated_run_time"] < 60
    assert answer["estimated_start_time_delta"] == 0.0


def test_an_overdue_run_is_late_by_now(api):
    run = make_flow_run("SCHEDULED", now=timezone.now() - timedelta(seconds=30))

    answer = api.read(f"/flow_runs/{run.id}").json()

    assert 30 <= answer["estimated_start_time_delta"] < 60


def test_only_what_is_sent_is_changed(api):
    run = make_flow_run(name="before", tags=["kept"], retries=1)

    answer = api.call("PATCH", f"/flow_runs/{run.id}", {"name": "after", "empirical_policy": {"pause_keys": ["a"]}})

    body = api.read(f"/flow_runs/{run.id}").json()
    assert answer.status_code == 204
    assert (body["name"], body["tags"]) == ("after", ["kept"])
    assert (body["empirical_policy"]["retries"], body["empirical_policy"]["pause_keys"]) == (1, ["a"])


def test_job_variables_change_only_before_a_run_begins(api):
    waiting, running = make_flow_run(state="SCHEDULED"), make_flow_run(state="RUNNING")
    deployment = Deployment.objects.create(name="d", flow=waiting.flow)
    FlowRun.objects.filter(pk=waiting.pk).update(deployment_id=deployment.pk)

    answers = [api.call("PATCH", f"/flow_runs/{run.id}", {"job_variables": {"a": 1}}) for run in (waiting, running)]

    assert [answer.status_code for answer in answers] == [204, 400]
    assert "RUNNING" in answers[1].json()["detail"]
    assert api.read(f"/flow_runs/{waiting.id}").json()["job_variables"] == {"a": 1}


def test_null_empties_only_what_may_be_empty(api):
    run = make_flow_run(name="kept")
    api.call("PATCH", f"/flow_runs/{run.id}", {"infrastructure_pid": "host:1"})

    api.call("PATCH", f"/flow_runs/{run.id}", {"infrastructure_pid": None, "name": None})

    answer = api.read(f"/flow_runs/{run.id}").json()
    assert (answer["infrastructure_pid"], answer["name"]) == (None, "kept")


def test_the_name_of_a_run_cannot_be_emptied(api):
    task_run = make_task_run(name="kept")
    FlowRun.objects.filter(pk=task_run.flow_run_id).update(name="kept")

    answers = [
        api.call("PATCH", f"/flow_runs/{task_run.flow_run_id}", {"name": "", "tags": ["a"]}),
        api.call("PATCH", f"/task_runs/{task_run.id}", {"name": ""}),
    ]

    assert [answer.status_code for answer in answers] == [204, 204]
    body = api.read(f"/flow_runs/{task_run.flow_run_id}").json()
    assert (body["name"], body["tags"]) == ("kept", ["a"])
    assert api.read(f"/task_runs/{task_run.id}").json()["name"] == "kept"


def test_a_run_is_deleted_with_its_task_runs(api):
    task_run = make_task_run()

    answer = api.call("DELETE", f"/flow_runs/{task_run.flow_run_id}")

    assert answer.status_code == 204
    assert api.read(f"/flow_runs/{task_run.flow_run_id}").json() == {"detail": "Flow run not found"}
    assert api.read(f"/task_runs/{task_run.id}").json() == {"detail": "Task run not found"}


def test_a_missing_run_cannot_be_changed_or_deleted(api):
    assert api.call("PATCH", f"/flow_runs/{uuid4()}", {"name": "x"}).status_code == 404
    assert api.call("DELETE", f"/flow_runs/{uuid4()}").status_code == 404
