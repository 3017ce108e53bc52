"""POST /api/flow_runs/{id}/cancel, which knows of detaching."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.factories import make_flow_run, make_task_run, state_of


def nested_deployed_run(parent):
    place = make_task_run("RUNNING", flow_run=parent)
    return make_flow_run("RUNNING", parent_task_run_id=place.pk, deployment_id=uuid4())


@pytest.mark.parametrize("detach", [False, True])
def test_nested_runs_are_detached_on_request(api, detach: bool):
    parent = make_flow_run("RUNNING")
    nested = nested_deployed_run(parent)

    answer = api.send(f"/flow_runs/{parent.pk}/cancel", {"detach": detach, "message": "enough"})

    assert (answer.status_code, answer.json()["state"]["type"]) == (201, "CANCELLING")
    nested.refresh_from_db()
    assert (nested.parent_task_run_id is None) is detach


def test_a_body_is_not_needed(api):
    run = make_flow_run("SCHEDULED")

    assert api.send(f"/flow_runs/{run.pk}/cancel").status_code == 201

    assert state_of(run) == "CANCELLED"


def test_a_run_that_has_ended_stays_as_it_is(api):
    run = make_flow_run("COMPLETED")

    answer = api.send(f"/flow_runs/{run.pk}/cancel", {"detach": True})

    assert (answer.status_code, answer.json()["status"]) == (200, "ABORT")


def test_an_unknown_run_and_an_unknown_field_are_refused(api):
    assert api.send(f"/flow_runs/{uuid4()}/cancel").status_code == 404
    assert api.send(f"/flow_runs/{make_flow_run().pk}/cancel", {"force": True}).status_code == 422
