"""Bulk actions over the API: begun with a filter, read, listed and stopped."""

from __future__ import annotations

from uuid import uuid4

from orionflow.contract.ids import uuid7
from runs.bulk_actions import services
from runs.models import BulkAction
from tests.factories import make_flow, make_flow_run, state_of

RUNNING = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}


def test_few_runs_are_changed_at_once(api):
    running, other = make_flow_run("RUNNING"), make_flow_run("SCHEDULED")

    answer = api.send("/bulk_actions/", {"action": "cancel", **RUNNING})

    one = answer.json()
    assert (answer.status_code, one["status"], one["total"], one["done"], one["left"]) == (201, "done", 1, 1, 0)
    assert one["filter"] == RUNNING
    assert (one["author"], one["is_cut"]) == ("local owner", False)
    assert (state_of(running), state_of(other)) == ("CANCELLING", "SCHEDULED")
    assert api.read(f"/bulk_actions/{one['id']}").json() == one


def test_many_are_left_to_the_service_and_can_be_stopped(api, monkeypatch):
    monkeypatch.setattr("runs.bulk_actions.services.FEW", 1)
    runs = [make_flow_run("RUNNING") for _ in range(2)]

    one = api.send("/bulk_actions/", {"action": "delete", "flow_runs": {}}).json()

    path = f"/bulk_actions/{one['id']}"
    assert (one["status"], one["left"]) == ("active", 2)
    assert api.send(f"{path}/stop").status_code == 204
    assert api.send(f"{path}/stop").status_code == 204
    assert api.read(path).json()["status"] == "stopped"
    assert {state_of(run) for run in runs} == {"RUNNING"}


def test_more_than_an_action_may_concern_are_cut_and_the_newest_are_taken(api, monkeypatch):
    monkeypatch.setattr("runs.bulk_actions.api.MOST", 1)
    flow = make_flow("etl")
    oldest, newest = (make_flow_run("RUNNING", flow=flow) for _ in range(2))

    one = api.send("/bulk_actions/", {"action": "cancel", "flows": {"name": {"any_": ["etl"]}}}).json()

    assert (one["total"], one["is_cut"]) == (1, True)
    assert (state_of(oldest), state_of(newest)) == ("RUNNING", "CANCELLING")


def test_the_outcome_of_each_run_is_listed(api):
    ended, running = make_flow_run("COMPLETED", name="ended"), make_flow_run("RUNNING", name="running")
    one = api.send("/bulk_actions/", {"action": "cancel", "flow_runs": {}}).json()
    path = f"/bulk_actions/{one['id']}/runs/filter"

    every = api.send(path).json()
    refused = api.send(path, {"runs": {"outcome": {"any_": ["refused"]}}}).json()

    assert [(each["name"], each["outcome"]) for each in every] == [("running", "done"), ("ended", "refused")]
    assert [each["run_id"] for each in refused] == [str(ended.pk)]
    assert refused[0]["reason"] in one["reasons"]
    assert every[0]["run_id"] == str(running.pk)


def test_they_are_listed_the_newest_first(api):
    make_flow_run("COMPLETED")
    ids = [api.send("/bulk_actions/", {"action": "cancel", "flow_runs": {}}).json()["id"] for _ in range(2)]

    listed = api.send("/bulk_actions/filter").json()
    of_nobody = api.send("/bulk_actions/filter", {"bulk_actions": {"author": {"any_": ["nobody"]}}}).json()

    assert [one["id"] for one in listed] == ids[::-1]
    assert of_nobody == []


def test_the_same_request_sent_again_is_done_once(api):
    make_flow_run("RUNNING")
    asked = {"action": "cancel", "id": str(uuid7()), **RUNNING}

    first, second = api.send("/bulk_actions/", asked).json(), api.send("/bulk_actions/", asked).json()

    assert first == second
    assert BulkAction.objects.count() == 1


def test_an_id_means_one_command(api):
    make_flow_run("RUNNING")
    body = {"id": str(uuid7()), "action": "cancel", **RUNNING}
    api.send("/bulk_actions/", body)

    answer = api.send("/bulk_actions/", {**body, "action": "delete"})

    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        f"The id {body['id']} belongs to another bulk action; use a new id for each bulk action.",
    )


def test_without_a_filter_nothing_is_done(api):
    run = make_flow_run("RUNNING")

    answers = [api.send("/bulk_actions/", {"action": "delete", **more}) for more in ({}, {"flow_runs": None})]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert state_of(run) == "RUNNING"


def test_a_bulk_action_that_matches_no_run_is_refused(api):
    answer = api.send("/bulk_actions/", {"action": "cancel", **RUNNING})

    assert answer.status_code == 422
    assert "nothing to cancel" in answer.content.decode()
    assert not BulkAction.objects.exists()


def test_missing_objects_are_not_found(api):
    for path in (f"/bulk_actions/{uuid4()}", f"/bulk_actions/{uuid4()}/stop", f"/bulk_actions/{uuid4()}/runs/filter"):
        method = "GET" if path.count("/") == 2 else "POST"
        assert api.call(method, path, None if method == "GET" else {}).status_code == 404


def test_an_invalid_action_is_refused(api):
    assert api.send("/bulk_actions/", {"action": "burn", "flow_runs": {}}).status_code == 422
    assert set(services.COMMANDS) == {"retry", "cancel", "delete"}
