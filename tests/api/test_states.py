"""POST /flow_runs/{id}/set_state and its twin for task runs: what each verdict looks like on the wire."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from runs.models import FlowRun
from tests.factories import NOON, make_flow_run, make_limit, make_state, make_task_run
from tests.travelling import travelled

pytestmark = pytest.mark.django_db

DETAILS = {
    "flow_run_id",
    "task_run_id",
    "child_flow_run_id",
    "scheduled_time",
    "cache_key",
    "cache_expiration",
    "untrackable_result",
    "pause_timeout",
    "pause_reschedule",
    "pause_key",
    "run_input_keyset",
    "refresh_cache",
    "retriable",
    "transition_id",
    "task_parameters_id",
}


def propose(api, run, type, *, force=False, headers=None, **fields):
    kind = "flow_runs" if isinstance(run, FlowRun) else "task_runs"
    body = {"state": {"type": type, **fields}, "force": force}
    return api.send(f"/{kind}/{run.id}/set_state", body, **(headers or {}))


def test_an_accepted_state_is_written_and_returned_in_full(api, counted):
    run = make_flow_run("PENDING")

    with counted("set flow run state"):
        answer = propose(api, run, "RUNNING", state_details={"transition_id": str(uuid4())})

    body = answer.json()
    assert answer.status_code == 201
    assert (body["status"], body["details"]) == ("ACCEPT", {"type": "accept_details"})
    assert body["state"]["state_details"].keys() == DETAILS
    assert body["state"]["state_details"]["flow_run_id"] == str(run.id)
    assert api.read(f"/flow_runs/{run.id}").json()["state"] == body["state"]


def test_the_server_stamps_states_and_names_them(api):
    run, before = make_flow_run("PENDING"), timezone.now()
    own_id = str(uuid4())

    state = propose(api, run, "RUNNING", timestamp="2020-01-01T00:00:00Z", id=own_id).json()["state"]

    # The clock of the database, which may be a little behind that of this process.
    assert datetime.fromisoformat(state["timestamp"]) > before - timedelta(seconds=1)
    assert state["id"] != own_id


def test_a_replaced_state_is_a_reject_that_was_written(api):
    run = make_flow_run("RUNNING", retries=1)

    answer = propose(api, run, "FAILED", message="boom")

    body = answer.json()
    assert answer.status_code == 201
    assert (body["status"], body["state"]["name"]) == ("REJECT", "AwaitingRetry")
    assert body["details"]["type"] == "reject_details"
    assert body["details"]["reason"]


def test_a_kept_state_is_a_reject_that_was_not_written(api):
    run = make_flow_run("CANCELLING")

    answer = propose(api, run, "RUNNING")

    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["state"]["type"]) == ("REJECT", "CANCELLING")


def test_a_run_that_is_not_due_waits_whole_seconds(api):
    due = NOON + timedelta(hours=1, milliseconds=400)
    run = make_flow_run(make_state("SCHEDULED", scheduled_time=due))

    with travelled(NOON):
        answer = propose(api, run, "RUNNING")

    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["details"]["type"]) == ("WAIT", "wait_details")
    assert answer.json()["details"]["delay_seconds"] == 3600
    assert answer.json()["state"]["type"] == "SCHEDULED"


def test_an_abort_keeps_the_state(api):
    run = make_flow_run("PENDING")

    answer = propose(api, run, "PENDING")

    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["details"]["type"]) == ("ABORT", "abort_details")
    assert answer.json()["state"]["type"] == "PENDING"


def test_force_leaves_a_terminal_state(api):
    run = make_flow_run("CANCELLED")

    refused, forced = propose(api, run, "RUNNING"), propose(api, run, "RUNNING", force=True)

    assert (refused.json()["status"], forced.json()["status"]) == ("REJECT", "ACCEPT")
    assert forced.status_code == 201


def test_a_null_forces_nothing(api):
    run = make_flow_run("CANCELLED")

    assert propose(api, run, "RUNNING", force=None).json()["status"] == "REJECT"


def test_unpersisted_data_is_returned_once(api):
    run = make_flow_run("RUNNING")
    data = {"type": "unpersisted", "artifact_type": "result"}

    answer = propose(api, run, "COMPLETED", data=data)

    assert answer.json()["state"]["data"] == data
    assert api.read(f"/flow_runs/{run.id}").json()["state"]["data"] is None


def test_other_data_stays(api):
    run = make_task_run("RUNNING")

    answer = propose(api, run, "COMPLETED", data={"type": "reference", "key": "k"})

    assert answer.json()["state"]["data"] == {"type": "reference", "key": "k"}
    assert api.read(f"/task_runs/{run.id}").json()["state"]["data"] == {"type": "reference", "key": "k"}


@pytest.mark.parametrize(("make", "kind"), [(make_flow_run, "flow_run"), (make_task_run, "task_run")])
def test_a_kept_result_is_shown_as_an_artifact(api, make, kind):
    run = make("RUNNING")
    kept = {"type": "reference", "storage_key": "k"}

    answer = propose(api, run, "COMPLETED", data={**kept, "artifact_type": "result", "artifact_description": "At `k`."})

    shown = api.send("/artifacts/filter", {"artifacts": {f"{kind}_id": {"any_": [str(run.id)]}}}).json()
    assert answer.json()["state"]["data"] == api.read(f"/{kind}s/{run.id}").json()["state"]["data"] == kept
    assert [(a["key"], a["type"], a["description"], a["data"]) for a in shown] == [(None, "result", "At `k`.", kept)]
    assert shown[0]["flow_run_id"] == str(run.id if kind == "flow_run" else run.flow_run_id)


def test_a_task_run_waits_for_a_slot_of_its_tag(api, counted):
    make_limit("gpu", 1, taken_by=[make_task_run("RUNNING")])
    run = make_task_run("PENDING", tags=["gpu"])

    with counted("set task run state that waits"):
        answer = propose(api, run, "RUNNING")

    assert (answer.status_code, answer.json()["status"]) == (200, "WAIT")
    assert answer.json()["details"]["delay_seconds"] == 30


def test_a_missing_run_is_answered_in_the_form_of_a_verdict(api):
    missing = uuid4()

    answer = api.send(f"/flow_runs/{missing}/set_state", {"state": {"type": "RUNNING"}})

    assert answer.status_code == 404
    assert str(missing) in answer.json()["exception_message"]
    assert api.send(f"/task_runs/{missing}/set_state", {"state": {"type": "RUNNING"}}).status_code == 404


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, ["body", "state"]),
        ({"state": {}}, ["body", "state", "type"]),
        ({"state": {"type": "running"}}, ["body", "state", "type"]),
        ({"state": {"type": "RUNNING", "mood": "good"}}, ["body", "state", "mood"]),
        ({"state": {"type": "RUNNING", "name": "x" * 256}}, ["body", "state", "name"]),
        (
            {"state": {"type": "RUNNING", "state_details": {"scheduled_time": "soon"}}},
            ["body", "state", "state_details", "scheduled_time"],
        ),
        (None, ["body"]),
        ([], ["body"]),
    ],
)
def test_a_proposal_that_does_not_fit_is_refused_by_its_place(api, body, place):
    run = make_flow_run("PENDING")

    answer = api.send(f"/flow_runs/{run.id}/set_state", body)

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == place


def test_a_repeated_proposal_gets_the_same_verdict_and_writes_nothing(api):
    run, own_id = make_flow_run("RUNNING", retries=1), str(uuid4())
    headers = {"orion-proposal-id": own_id}

    first = propose(api, run, "FAILED", headers=headers)
    again = propose(api, run, "FAILED", headers=headers)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert len(api.read(f"/flow_run_states/?flow_run_id={run.id}").json()) == 2


def test_the_state_of_an_accepted_proposal_has_its_id(api):
    run, own_id = make_flow_run("PENDING"), str(uuid4())

    state = propose(api, run, "RUNNING", headers={"orion-proposal-id": own_id}).json()["state"]

    assert state["id"] == own_id


def test_a_replaced_attempt_learns_of_it(api):
    run = make_flow_run("PENDING")
    FlowRun.objects.filter(pk=run.pk).update(epoch=3)

    stale = propose(api, run, "RUNNING", headers={"orion-run-epoch": "2"})
    current = propose(api, run, "RUNNING", headers={"orion-run-epoch": "3"})

    assert (stale.status_code, stale.json()["code"]) == (409, "run_lost")
    assert current.status_code == 201


@pytest.mark.parametrize("headers", [{"orion-proposal-id": "one"}, {"orion-run-epoch": "-1"}, {"orion-run-epoch": "x"}])
def test_a_header_that_does_not_fit_is_refused(api, headers):
    answer = propose(api, make_flow_run("PENDING"), "RUNNING", headers=headers)

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"][0] == "header"


def test_the_states_of_a_run_are_listed_in_their_order(api, counted):
    run = make_flow_run("PENDING")
    propose(api, run, "RUNNING")
    propose(api, run, "COMPLETED")

    with counted("read flow run states"):
        states = api.read(f"/flow_run_states/?flow_run_id={run.id}").json()

    assert [state["type"] for state in states] == ["PENDING", "RUNNING", "COMPLETED"]
    assert api.read(f"/flow_run_states/{states[0]['id']}").json() == states[0]
    assert api.read(f"/flow_run_states/{uuid4()}").json() == {"detail": "State not found"}
    assert api.read("/flow_run_states/").status_code == 422


def test_the_states_of_a_task_run_are_listed_in_their_order(api):
    run = make_task_run("PENDING")
    propose(api, run, "RUNNING")

    states = api.read(f"/task_run_states/?task_run_id={run.id}").json()

    assert [state["type"] for state in states] == ["PENDING", "RUNNING"]
    assert api.read(f"/task_run_states/{states[1]['id']}").json() == states[1]
