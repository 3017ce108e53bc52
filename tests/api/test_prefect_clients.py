"""Requests and answers of Prefect 2's clients, where they differ from ours."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection

from orchestration.api.rendering import encoded

CRON = {"cron": "0 6 * * *", "timezone": "UTC"}
PERSON = {
    "type": "object",
    "properties": {"person": {"$ref": "#/definitions/Person"}, "required": {"type": "integer"}},
    "required": ["person"],
    "definitions": {
        "Person": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
        }
    },
}


def deploy(api, **fields):
    flow_id = api.send("/flows/", {"name": "census"}).json()["id"]
    return api.send("/deployments/", {"name": "nightly", "flow_id": flow_id, **fields})


def test_an_empty_list_of_schedules_next_to_a_single_schedule_deletes_nothing(api):
    made = deploy(api, schedule=CRON, schedules=[], is_schedule_active=False).json()

    assert [one["schedule"]["cron"] for one in made["schedules"]] == ["0 6 * * *"]
    assert made["schedules"][0]["active"] is False


def test_a_change_with_an_empty_list_next_to_a_single_schedule_deletes_nothing(api):
    made = deploy(api, schedule=CRON).json()
    hourly = {"cron": "0 * * * *", "timezone": "UTC"}

    answer = api.call("PATCH", f"/deployments/{made['id']}", {"schedule": hourly, "schedules": []})

    assert answer.status_code == 204
    after = api.read(f"/deployments/{made['id']}").json()
    assert [one["schedule"]["cron"] for one in after["schedules"]] == ["0 * * * *"]


@pytest.mark.parametrize("sent", [{"schedule": None}, {"schedules": []}])
def test_a_change_takes_the_only_schedule_away(api, sent):
    made = deploy(api, schedule=CRON).json()

    assert api.call("PATCH", f"/deployments/{made['id']}", sent).status_code == 204

    assert api.read(f"/deployments/{made['id']}").json()["schedules"] == []


def test_a_client_that_knows_one_schedule_does_not_take_several_away(api):
    made = deploy(api, schedules=[{"schedule": CRON}, {"schedule": {**CRON, "cron": "0 7 * * *"}}]).json()

    answer = api.call("PATCH", f"/deployments/{made['id']}", {"schedule": None, "schedules": []})

    assert answer.status_code == 422
    assert len(api.read(f"/deployments/{made['id']}").json()["schedules"]) == 2


def test_both_names_of_job_variables_may_be_sent_together(api):
    answer = deploy(api, job_variables={"a": 1}, infra_overrides={"a": 1})

    assert (answer.status_code, answer.json()["infra_overrides"]) == (201, {"a": 1})


@pytest.mark.parametrize("given", [{}, {"person": {"name": "Ada"}}, {"person": {}, "required": 1}])
def test_required_fields_of_a_parameter_may_come_with_each_run(api, given):
    made = deploy(api, parameter_openapi_schema=PERSON, enforce_parameter_schema=True, parameters=given)

    assert made.status_code == 201
    incomplete = api.send(f"/deployments/{made.json()['id']}/create_flow_run", {})
    assert incomplete.status_code == 409
    complete = {"parameters": {"person": {"name": "Ada", "age": 36}}}
    assert api.send(f"/deployments/{made.json()['id']}/create_flow_run", complete).status_code == 201


@pytest.mark.parametrize("given", [{"person": {"name": 5}}, {"person": 5}, {"required": "text"}])
def test_given_parameters_must_fit_nevertheless(api, given):
    made = deploy(api, parameter_openapi_schema=PERSON, enforce_parameter_schema=True, parameters=given)

    assert made.status_code == 422


@pytest.mark.parametrize("schema", [{"type": 5}, {"properties": 3}, {"properties": {"a": 7}, "required": "a"}])
def test_a_broken_schema_is_stored_unless_it_is_enforced(api, schema):
    made = deploy(api, parameter_openapi_schema=schema, parameters={"a": 1})

    assert made.status_code == 201
    path = f"/deployments/{made.json()['id']}"
    assert api.read(path).json()["parameter_openapi_schema"] == schema
    assert api.send(f"{path}/create_flow_run", {}).status_code == 201
    assert api.send(f"{path}/create_flow_run", {"enforce_parameter_schema": True}).status_code == 409
    assert api.call("PATCH", path, {"enforce_parameter_schema": True}).status_code == 422


def test_times_are_answered_with_their_offset(api):
    run = deploy(api, schedule={"interval": 3600, "anchor_date": "2026-01-01T00:00:00Z"}).json()
    planned = api.send("/flow_runs/filter", {}).json()[0]

    moments = [run["created"], run["schedules"][0]["schedule"]["anchor_date"], planned["expected_start_time"]]
    moments += [planned["state"]["timestamp"], planned["state"]["state_details"]["scheduled_time"]]
    assert [moment[-6:] for moment in moments] == ["+00:00"] * 5


def test_times_in_details_have_one_format_for_every_way_to_store_them(api):
    at = "2099-01-01T00:00:00+00:00"
    later = {"type": "SCHEDULED", "state_details": {"scheduled_time": at}}
    flow_id = api.send("/flows/", {"name": "census"}).json()["id"]
    run = api.send("/flow_runs/", {"flow_id": flow_id, "state": later}).json()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE runs_flowrunstate SET details = %s", ['{"scheduled_time": "2099-01-01T00:00:00Z"}'])

    assert api.read(f"/flow_runs/{run['id']}").json()["state"]["state_details"]["scheduled_time"] == at


def test_free_json_is_returned_as_it_was_sent(api):
    text = "2026-01-01T00:00:00Z"
    made = deploy(api, parameters={"day": text, "days": [text, {"created": text}]}).json()

    assert made["parameters"] == {"day": text, "days": [text, {"created": text}]}


def test_every_time_in_an_answer_has_the_same_format():
    noon = datetime(2026, 1, 5, 12, tzinfo=UTC)

    answer = encoded({"a": noon, "b": [noon, {"c": (noon, 1)}], "d": ((noon,),)})

    noon_text = b'"2026-01-05T12:00:00+00:00"'
    assert answer == b'{"a":%b,"b":[%b,{"c":[%b,1]}],"d":[[%b]]}' % ((noon_text,) * 4)
    assert encoded(noon) == noon_text
