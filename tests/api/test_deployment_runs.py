"""Runs of a deployment on request: what they take over, which parameters they may have, and how often they are made."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from deployments.models import Deadline
from runs.models import FlowRun
from tests.api.test_deployments import HALF_HOURLY, deploy, planned_runs

SCHEMA = {
    "title": "Parameters",
    "type": "object",
    "properties": {
        "n": {"type": "integer", "title": "n", "position": 0},
        "s": {"type": "string", "default": "x", "title": "s", "position": 1},
        "who": {"allOf": [{"$ref": "#/definitions/Person"}]},
    },
    "required": ["n"],
    "definitions": {"Person": {"type": "object", "properties": {"age": {"type": "integer"}}}},
}


def run_of(api, deployment, **asked):
    return api.send(f"/deployments/{deployment['id']}/create_flow_run", asked)


def test_a_run_is_due_now_unless_its_state_has_a_time(api):
    made = deploy(api).json()
    at = "2099-01-01T00:00:00+00:00"

    now = run_of(api, made).json()
    later = run_of(api, made, state={"type": "SCHEDULED", "state_details": {"scheduled_time": at}}).json()

    assert (now["state_type"], now["expected_start_time"]) == ("SCHEDULED", now["next_scheduled_start_time"])
    assert abs(datetime.fromisoformat(now["expected_start_time"]) - datetime.fromisoformat(now["created"])) < timedelta(
        seconds=5
    )
    assert later["next_scheduled_start_time"] == at


def test_a_known_idempotency_key_gives_the_run_that_there_is(api):
    made = deploy(api).json()

    first, again = run_of(api, made, idempotency_key="k"), run_of(api, made, idempotency_key="k")

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"n": 5}, 201),
        ({"n": 5, "s": None, "who": {"age": None}}, 201),
        ({"n": "abc"}, 409),
        ({"n": None}, 409),
        ({"n": 5, "who": {"age": "old"}}, 409),
    ],
)
def test_parameters_must_fit_the_schema_where_it_is_enforced(api, parameters, status):
    made = deploy(api, parameter_openapi_schema=SCHEMA, enforce_parameter_schema=True).json()

    answer = run_of(api, made, parameters=parameters)

    assert answer.status_code == status
    assert run_of(api, made, parameters=parameters, enforce_parameter_schema=False).status_code == 201


def test_a_parameter_that_does_not_fit_is_reported_with_its_place(api):
    made = deploy(api, parameter_openapi_schema=SCHEMA, enforce_parameter_schema=True, parameters={"n": 1}).json()

    wrong = run_of(api, made, parameters={"who": {"age": "old"}}).json()
    missing = api.call("PATCH", f"/deployments/{made['id']}", {"parameters": {"n": "abc"}})

    assert wrong["code"] == "parameters_misfit"
    assert "who.age: 'old' is not of type 'integer'" in wrong["detail"]
    assert missing.status_code == 409


def test_required_parameters_may_come_with_the_run(api):
    made = deploy(api, parameter_openapi_schema=SCHEMA, enforce_parameter_schema=True)

    assert made.status_code == 201
    assert run_of(api, made.json()).status_code == 409


def test_a_schema_with_a_remote_reference_sends_no_request(api):
    schema = {"type": "object", "properties": {"n": {"$ref": "http://127.0.0.1:1/schema.json"}}, "required": ["n"]}
    made = deploy(api, parameter_openapi_schema=schema, enforce_parameter_schema=True).json()

    answer = run_of(api, made, parameters={"n": 1})

    assert answer.status_code == 409
    assert "which is not in it" in answer.json()["detail"]


def test_templates_in_parameters_are_filled_in(api):
    api.send("/variables/", {"name": "region", "value": "north"})
    made = deploy(api, parameters={"deep": [{"__prefect_kind": "json", "value": "[1]"}]}).json()
    named = {"__prefect_kind": "workspace_variable", "variable_name": "region"}

    run = run_of(api, made, parameters={"where": named, "plain": {"__prefect_kind": "none", "value": 3}}).json()

    assert run["parameters"] == {"deep": [[1]], "where": "north", "plain": 3}


@pytest.mark.parametrize(
    "template",
    [
        {"__prefect_kind": "json", "value": "{"},
        {"__prefect_kind": "workspace_variable", "variable_name": "nowhere"},
        {"__prefect_kind": "jinja", "template": "{{ 1 + 1 }}"},
        {"__prefect_kind": "spell"},
    ],
)
def test_a_template_that_cannot_be_filled_in_is_a_bad_request(api, template):
    made = deploy(api).json()

    assert run_of(api, made, parameters={"n": template}).status_code == 400


def test_overlap_of_a_deployment_becomes_the_policy_of_its_runs(api):
    made = deploy(api, overlap="skip", schedules=[{"schedule": HALF_HOURLY}]).json()

    runs = [run_of(api, made, empirical_policy={"retries": 2}).json(), planned_runs(api, made)[-1]]

    assert [(run["empirical_policy"]["overlap"], run["empirical_policy"]["overlap_scope"]) for run in runs] == [
        ("skip", "deployment")
    ] * 2
    assert runs[0]["empirical_policy"]["retries"] == 2


def test_each_run_gets_its_deadlines(api):
    made = deploy(api, must_start_within=60, must_finish_within=3600.5, schedules=[{"schedule": HALF_HOURLY}]).json()

    run_of(api, made)

    after = {"start": timedelta(seconds=60), "finish": timedelta(seconds=3600.5)}
    stored = Deadline.objects.select_related("flow_run").all()
    assert len(stored) == 2 * FlowRun.objects.count() == 8
    assert all(one.due - one.flow_run.expected_start_time == after[one.kind] for one in stored)


def test_another_queue_of_the_same_pool_can_be_chosen(api):
    api.send("/work_pools/", {"name": "machines", "type": "process"})
    api.send("/work_pools/machines/queues", {"name": "fast"})
    made = deploy(api, work_pool_name="machines").json()

    run, unknown = run_of(api, made, work_queue_name="fast"), run_of(api, made, work_queue_name="new")

    assert (run.json()["work_queue_name"], run.json()["work_pool_name"]) == ("fast", "machines")
    assert (unknown.json()["work_queue_name"], unknown.json()["work_pool_name"]) == ("new", "machines")
    assert api.call("GET", "/work_pools/machines/queues/new").json()["id"] == unknown.json()["work_queue_id"]


@pytest.mark.parametrize(
    ("of_deployment", "of_run", "status"),
    [
        ({"cpus": 2}, None, 201),
        ({}, {"cpus": 2}, 201),
        ({"cpus": 2}, {"cpus": "two"}, 422),
        ({}, {}, 422),
    ],
)
def test_job_variables_must_fit_the_template_of_the_pool(api, of_deployment, of_run, status):
    make_machines(api)
    made = deploy(api, work_pool_name="machines", job_variables=of_deployment).json()

    run = run_of(api, made, job_variables=of_run)

    assert run.status_code == status
    if status == 422:
        assert "template of work pool 'machines': " in run.json()["detail"]


def test_job_variables_of_a_deployment_may_leave_the_rest_to_its_runs(api):
    make_machines(api)

    answers = [
        deploy(api, f"d{n}", work_pool_name="machines", job_variables=variables)
        for n, variables in enumerate(VARIABLES)
    ]

    assert [answer.status_code for answer in answers] == [201, 201, 422]
    assert answers[2].json()["code"] == "job_variables_misfit"


VARIABLES = [{}, {"image": "x"}, {"cpus": "two"}]


@pytest.mark.parametrize("way", ["change", "deploy again", "move to the pool", "move to the pool later"])
def test_no_way_to_a_schedule_leads_around_the_template_of_a_pool(api, way):
    make_machines(api)
    bad = {"job_variables": {"cpus": "all"}}
    made = deploy(api, work_pool_name=None if "move" in way else "machines", **(bad if "move" in way else {})).json()

    match way:
        case "change":
            answer = api.call("PATCH", f"/deployments/{made['id']}", bad)
        case "deploy again":
            answer = deploy(api, **bad)
        case "move to the pool":
            answer = api.call("PATCH", f"/deployments/{made['id']}", {"work_pool_name": "machines"})
        case _:
            answer = deploy(api, work_pool_name="machines")

    assert answer.status_code == 422
    assert answer.json()["code"] == "job_variables_misfit"
    kept = api.call("GET", f"/deployments/{made['id']}").json()
    assert (kept["work_pool_name"], kept["infra_overrides"]) != ("machines", bad["job_variables"])


def make_machines(api):
    variables = {"properties": {"cpus": {"type": "integer"}, "image": {"type": "string"}}, "required": ["cpus"]}
    template = {"job_configuration": {"cpus": "{{ cpus }}", "image": "{{ image }}"}, "variables": variables}
    return api.send("/work_pools/", {"name": "machines", "type": "process", "base_job_template": template})


def test_runs_can_be_planned_for_a_stretch_of_time(api):
    made = deploy(api, schedules=[{"schedule": HALF_HOURLY}]).json()
    path = f"/deployments/{made['id']}/schedule"
    far = datetime.fromisoformat(HALF_HOURLY["anchor_date"]) + timedelta(days=25_000)
    times = [(far + timedelta(minutes=minutes)).isoformat() for minutes in (0, 30, 60)]
    stretch = {"start_time": times[0], "end_time": times[-1], "min_time": 7200}

    answers = [api.send(path), api.send(path, stretch), api.send(path, stretch)]

    runs = planned_runs(api, made)
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [run["expected_start_time"] for run in runs[3:]] == times


def test_to_plan_what_does_not_exist_does_nothing(api):
    answer = api.send("/deployments/00000000-0000-0000-0000-000000000001/schedule", {})

    assert (answer.status_code, answer.json()) == (200, None)


def test_a_run_of_an_unknown_deployment_is_not_made(api):
    assert run_of(api, {"id": "00000000-0000-0000-0000-000000000001"}).status_code == 404


def test_making_a_run_costs_few_queries(api, counted):
    made = deploy(api, work_queue_name="fast", must_start_within=60).json()

    with counted("create flow run from deployment"):
        run_of(api, made)
