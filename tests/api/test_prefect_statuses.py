"""With which status and in which shape Prefect 2's clients are refused, where it is not what one would guess."""

from __future__ import annotations

from uuid import uuid4

import pytest

from deployments.models import Slot
from tests.factories import make_flow_run

TEMPLATE = {"job_configuration": {"image": "{{ image }}"}, "variables": {"properties": {"image": {"type": "string"}}}}


def template_with(default):
    own = {"type": "object", "default": default}
    return {"job_configuration": {"image": "{{ image }}"}, "variables": {"properties": {"image": own}}}


def flow(api, name="census"):
    return api.send("/flows/", {"name": name}).json()["id"]


def deployed_run(api, state="SCHEDULED", **fields):
    api.send("/work_pools/", {"name": "mill", "type": "docker", "base_job_template": TEMPLATE})
    made = api.send("/deployments/", {"name": "d", "flow_id": flow(api), "work_pool_name": "mill", **fields}).json()
    run = api.send(f"/deployments/{made['id']}/create_flow_run", {}).json()
    if state != "SCHEDULED":
        api.send(f"/flow_runs/{run['id']}/set_state", {"state": {"type": state}, "force": True})
    return f"/flow_runs/{run['id']}"


@pytest.mark.parametrize("name", ["", " ", "''", "\" '"])
def test_a_pool_needs_a_name_that_is_not_blank(api, name):
    answer = api.send("/work_pools/", {"name": name})

    assert (answer.status_code, answer.json()["detail"]) == (400, "Work pool name cannot be empty.")


@pytest.mark.parametrize("name", ["prefect", "Prefect Pool", "PREFECT-x"])
def test_names_that_prefect_keeps_for_itself_are_not_names_of_pools(api, name):
    made = api.send("/work_pools/", {"name": name})
    changed = api.call("PATCH", f"/work_pools/{name}", {"description": "x"})
    paused = api.call("PATCH", f"/work_pools/{name}", {"is_paused": True})

    assert (made.status_code, changed.status_code, paused.status_code) == (403, 403, 404)
    assert api.call("DELETE", f"/work_pools/{name}").status_code == 403


@pytest.mark.parametrize("id", ["00000000-0000-4000-8000-000000000000", "none", 5])
def test_a_template_cannot_name_a_block_that_does_not_exist(api, id):
    template = template_with({"$ref": {"block_document_id": id}})

    assert api.send("/work_pools/", {"name": "mill", "base_job_template": template}).status_code == 404
    assert api.send("/work_pools/count").json() == 0


def test_a_template_names_a_block_whose_content_fits(api):
    kind = api.send("/block_types/", {"name": "Image", "slug": "image"}).json()["id"]
    schema = api.send("/block_schemas/", {"block_type_id": kind, "fields": {"title": "Image"}}).json()["id"]
    block = {"name": "b", "data": {"tag": "1"}, "block_type_id": kind, "block_schema_id": schema}
    id = api.send("/block_documents/", block).json()["id"]
    template = template_with({"$ref": {"block_document_id": id}})

    assert api.send("/work_pools/", {"name": "mill", "base_job_template": template}).status_code == 201
    template["variables"]["properties"]["image"]["type"] = "string"
    assert api.send("/work_pools/", {"name": "forge", "base_job_template": template}).status_code == 422


def test_a_default_must_fit_its_own_variable(api):
    answer = api.send("/work_pools/", {"name": "mill", "base_job_template": template_with(5)})

    assert answer.status_code == 422
    assert "image" in answer.json()["detail"]


def test_changed_job_variables_are_held_to_the_template_of_the_pool(api):
    path = deployed_run(api)

    assert api.call("PATCH", path, {"job_variables": {"image": 5}}).status_code == 422
    assert api.read(path).json()["job_variables"] == {}
    assert api.call("PATCH", path, {"job_variables": {"image": "x"}}).status_code == 204
    assert api.read(path).json()["job_variables"] == {"image": "x"}


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "FAILED"])
def test_job_variables_are_settled_once_a_run_was_taken(api, state):
    assert api.call("PATCH", deployed_run(api, state), {"job_variables": {}}).status_code == 400


def test_job_variables_of_a_run_without_deployment_are_refused(api):
    run = make_flow_run("SCHEDULED")

    answer = api.call("PATCH", f"/flow_runs/{run.pk}", {"job_variables": {}, "name": "other"})

    assert answer.status_code == 400
    assert api.read(f"/flow_runs/{run.pk}").json()["name"] == run.name
    assert api.call("PATCH", f"/flow_runs/{uuid4()}", {"job_variables": {}}).status_code == 404


def test_one_call_of_a_task_without_flow_run_is_stored_once(api):
    call = {"task_key": "k", "dynamic_key": "0", "flow_run_id": None}

    first, again = api.send("/task_runs/", call), api.send("/task_runs/", call)
    other = api.send("/task_runs/", {**call, "dynamic_key": "1"})

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 201)
    assert first.json()["id"] == again.json()["id"] != other.json()["id"]


@pytest.mark.parametrize("other", [{"dynamic_key": "1"}, {"task_key": "j"}, {"flow_run_id": None}])
def test_an_id_that_another_call_has_is_a_conflict(api, other):
    call = {"id": str(uuid4()), "flow_run_id": str(make_flow_run("RUNNING").pk), "task_key": "k", "dynamic_key": "0"}
    assert api.send("/task_runs/", call).status_code == 201

    assert api.send("/task_runs/", {**call, **other}).status_code == 409
    assert api.send("/task_runs/", call).status_code == 200


@pytest.mark.parametrize("other", [{"idempotency_key": "b"}, {"flow_id": "other"}])
def test_an_id_that_another_flow_run_has_is_a_conflict(api, other):
    run = {"id": str(uuid4()), "flow_id": flow(api), "idempotency_key": "a"}
    other = {"flow_id": flow(api, "else")} if "flow_id" in other else other
    assert api.send("/flow_runs/", run).status_code == 201

    assert api.send("/flow_runs/", {**run, **other}).status_code == 409
    assert api.send("/flow_runs/", run).status_code == 200


def test_a_reset_limit_holds_exactly_the_named_slots(api):
    api.send("/concurrency_limits/", {"tag": "gpu", "concurrency_limit": 3})
    holders = [str(uuid4()), str(uuid4())]

    api.send("/concurrency_limits/tag/gpu/reset", {"slot_override": [*holders, holders[0]]})

    assert sorted(api.read("/concurrency_limits/tag/gpu").json()["active_slots"]) == sorted(holders)
    api.send("/concurrency_limits/tag/gpu/reset")
    assert not Slot.objects.exists()


def test_the_same_schema_again_was_not_created(api):
    kind = api.send("/block_types/", {"name": "Image", "slug": "image"}).json()["id"]
    body = {"block_type_id": kind, "fields": {"title": "Image"}}

    assert [api.send("/block_schemas/", body).status_code for _ in range(2)] == [201, 200]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *[(method, f"/{kind}/null") for kind in ("block_documents", "variables") for method in ("GET", "DELETE")],
        *[(method, "/automations/null") for method in ("GET", "DELETE")],
        *[("POST", f"/deployments/null/{verb}") for verb in ("pause_deployment", "set_schedule_active")],
        ("GET", "/flow_runs/null/graph-v2"),
        ("GET", "/deployments/name/x"),
    ],
)
def test_an_invalid_id_is_not_found(api, method, path):
    assert api.call(method, path).status_code == 404


def test_a_body_needs_no_content_type(api):
    answer = api.generic("POST", "/api/flows/", b'{"name": "census"}', content_type="", headers={"host": "localhost"})

    assert answer.status_code == 201
    named = api.generic(
        "POST",
        "/api/flows/",
        b"name=x",
        content_type="application/x-www-form-urlencoded",
        headers={"host": "localhost"},
    )
    assert named.status_code == 415


@pytest.mark.parametrize(("text", "status"), [("{{ flow_run.name }} failed", 204), ("{{ ain't } work", 422)])
def test_a_template_is_checked_as_plain_text_and_as_json(api, text, status):
    plain = api.generic(
        "POST",
        "/api/templates/validate",
        text.encode(),
        content_type="text/plain; charset=utf-8",
        headers={"host": "localhost"},
    )
    as_json = api.send("/templates/validate", text)

    assert (plain.status_code, as_json.status_code) == (status, status)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/flows/", {"name": 5}),
        ("/flows/", b"no json"),
        (
            "/flow_runs/history",
            {"history_start": "2026-01-01", "history_end": "2026-01-02", "history_interval_seconds": 0},
        ),
        ("/v2/concurrency_limits/increment", {"names": ["x"], "slots": 5, "mode": "concurrency"}),
        ("/work_pools/", {"name": "mill", "base_job_template": {"job_configuration": {"a": "{{ a }}"}}}),
    ],
)
def test_every_422_has_one_shape(api, path, body):
    api.send("/v2/concurrency_limits/", {"name": "x", "limit": 1})

    answer = api.send(path, body)

    content = answer.json()
    assert answer.status_code == 422
    assert {"detail", "exception_message", "exception_detail", "request_body"} <= content.keys()
    assert content["detail"]
    assert content["exception_message"] == "Invalid request received."
    assert all({"loc", "msg", "type"} == one.keys() for one in content["exception_detail"])


def test_queues_are_found_whose_filter_takes_the_runs_of_a_deployment(api):
    made = api.send("/deployments/", {"name": "d", "flow_id": flow(api), "tags": ["a", "b"]}).json()["id"]
    for name, wanted in [
        ("one", {"tags": ["a"]}),
        ("two", {"deployment_ids": [made]}),
        ("no", {"tags": ["a", "c"]}),
        ("other", {"tags": ["a"], "deployment_ids": [str(uuid4())]}),
        ("plain", None),
    ]:
        api.send("/work_queues/", {"name": name, "filter": wanted})

    found = api.read(f"/deployments/{made}/work_queue_check").json()

    assert [queue["name"] for queue in found] == ["one", "two"]


def test_fields_that_only_orion_has_are_answered_unless_they_have_their_default(api):
    made = api.send("/deployments/", {"name": "d", "flow_id": flow(api), "overlap": "skip", "concurrency_limit": 2})
    run = api.send(f"/deployments/{made.json()['id']}/create_flow_run", {}).json()
    plain = api.send(
        "/flow_runs/", {"flow_id": flow(api), "empirical_policy": {"retries": 2, "crash_retries": 0}}
    ).json()

    assert (made.json()["overlap"], made.json()["concurrency_limit"]) == ("skip", 2)
    assert (run["empirical_policy"]["overlap"], run["empirical_policy"]["overlap_scope"]) == ("skip", "deployment")
    assert plain["empirical_policy"].keys() == {
        *("max_retries", "retry_delay_seconds", "retries", "retry_delay", "pause_keys", "resuming", "retry_type")
    }


@pytest.mark.parametrize("name", [".", ".."])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/flows/", {"name": "NAME"}),
        ("/work_pools/", {"name": "NAME"}),
        ("/work_queues/", {"name": "NAME"}),
        ("/v2/concurrency_limits/", {"name": "NAME", "limit": 1}),
        ("/concurrency_limits/", {"tag": "NAME", "concurrency_limit": 1}),
        ("/calendars/", {"name": "NAME", "ics": ""}),
    ],
)
def test_names_that_no_address_can_hold_are_refused(api, path, body, name):
    answer = api.send(path, {key: name if value == "NAME" else value for key, value in body.items()})

    assert answer.status_code == 422
    assert "no address" in answer.json()["detail"]
