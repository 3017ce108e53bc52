"""How large things may be, and what lists show of those that are."""

from __future__ import annotations

import pytest

from runs.models import FlowRun
from tests.factories import make_artifact, make_flow, make_flow_run, make_state
from tests.services.dispatching import make_deployment

pytestmark = pytest.mark.django_db

LIMIT, SHOWN = 50_000, 1000
LARGE = "x" * (SHOWN + 1)
OMITTED = "__orion_omitted__"


@pytest.fixture(autouse=True)
def _small_limits(settings):
    settings.ORION_API_MAX_FIELD_BYTES = LIMIT
    settings.ORION_API_MAX_ARTIFACT_BYTES = 2 * LIMIT
    settings.ORION_API_LIST_FIELD_BYTES = SHOWN
    settings.ORION_API_MAX_JSON_NODES = 10_000


@pytest.mark.parametrize(
    "value", ["x" * LIMIT, ["x" * 100] * (LIMIT // 100), {"x" * 1000 + str(n): 1 for n in range(51)}]
)
@pytest.mark.parametrize("field", ["parameters", "context"])
def test_a_field_has_its_limit(api, field, value):
    body = {"flow_id": str(make_flow().id), field: {"a": value}}

    answer = api.send("/flow_runs/", body)

    assert answer.status_code == 422
    (complaint,) = answer.json()["exception_detail"]
    assert complaint["loc"] == ["body", field]
    assert complaint["msg"] == f"A field may take at most {LIMIT} bytes of JSON"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("flow_runs/{run}/set_state", {"state": {"type": "RUNNING", "data": "x" * LIMIT}}),
        ("flow_runs/{run}/set_state", {"state": {"type": "RUNNING", "data": ["é" * 99] * (LIMIT // 200)}}),
        ("artifacts/", {"key": "a", "data": "x" * 2 * LIMIT}),
        ("artifacts/", {"key": "a", "description": "x" * (2 * LIMIT + 1)}),
        ("variables/", {"name": "a", "value": "x" * LIMIT}),
    ],
)
def test_every_free_field_has_one(api, path, body):
    run = make_flow_run(make_state("PENDING"))

    assert api.send("/" + path.format(run=run.id), body).status_code == 422


@pytest.mark.parametrize(
    ("value", "number"), [("x" * 1000, LIMIT // 1000), ("", LIMIT // 100)], ids=["large values", "many filters"]
)
def test_the_filters_of_a_saved_search_together_are_a_field(api, value, number):
    one = {"object": "o", "property": "p" * 50, "type": "string", "operation": "equals", "value": value}

    answer = api.call("PUT", "/saved_searches/", {"name": "mine", "filters": [one] * number})
    stored = api.call("PUT", "/saved_searches/", {"name": "mine", "filters": [one] * (number // 2)})

    assert answer.status_code == 422
    (complaint,) = answer.json()["exception_detail"]
    assert complaint["loc"] == ["body", "filters"]
    assert complaint["msg"] == f"A field may take at most {LIMIT} bytes of JSON"
    assert stored.status_code == 201


def test_the_pull_steps_of_a_deployment_together_are_a_field(api):
    body = {"name": "d", "flow_id": str(make_flow().id), "pull_steps": [{"step": "x" * 1000}] * (LIMIT // 1000)}

    assert api.send("/deployments/", body).status_code == 422
    assert api.send("/deployments/", body | {"pull_steps": body["pull_steps"][1:]}).status_code == 201


def test_an_artifact_may_be_larger(api):
    assert api.send("/artifacts/", {"key": "a", "data": "x" * LIMIT}).status_code == 201


@pytest.mark.parametrize(
    "body", [b"[],".join([b"["] + [b""] * 20_000) + b"[]]", b"[" + b"1," * 20_000 + b"1]", b'{"a":' + b"[{" * 9000]
)
def test_a_body_of_too_many_values_is_refused_before_it_is_parsed(api, body):
    for path in ("flow_runs/filter", "logs/", "task_runs/transitions"):
        answer = api.send("/" + path, body)

        assert answer.status_code == 413
        assert "made of more than 10000 values" in answer.json()["detail"]


def test_marks_within_texts_are_not_values(api):
    body = {"flow_id": str(make_flow().id), "parameters": {"a": ',[{"\\' * 8000}}

    assert api.send("/flow_runs/", body).status_code == 201


def test_lists_leave_out_what_is_large_and_single_reads_do_not(api):
    parameters = {"small": 1, "large": LARGE}
    run = make_flow_run(make_state("COMPLETED", data={"type": "x", "blob": LARGE}))
    FlowRun.objects.filter(pk=run.pk).update(parameters=parameters, context={"a": 1})

    (listed,) = api.send("/flow_runs/filter", {}).json()
    alone = api.read(f"/flow_runs/{run.id}").json()

    assert listed["parameters"][OMITTED]["bytes"] > SHOWN
    assert listed["context"] == alone["context"] == {"a": 1}
    assert listed["state"]["data"][OMITTED]["bytes"] > SHOWN
    assert alone["parameters"] == parameters
    assert alone["state"]["data"] == {"type": "x", "blob": LARGE}


def test_small_fields_are_listed_in_full(api):
    run = make_flow_run(make_state("COMPLETED", data={"type": "x", "a": [1, "é", None]}))
    FlowRun.objects.filter(pk=run.pk).update(parameters={"a": {"b": [1.5, True, None, "é"]}})

    (listed,) = api.send("/flow_runs/filter", {}).json()

    assert {**listed, "estimated_run_time": 0} == {
        **api.read(f"/flow_runs/{run.id}").json(),
        "estimated_run_time": 0,
    }


def test_states_of_a_run_are_listed_without_large_data(api):
    run = make_flow_run(make_state("COMPLETED", data={"blob": LARGE}))

    (listed,) = api.read(f"/flow_run_states/?flow_run_id={run.id}").json()

    assert OMITTED in listed["data"]
    assert api.read(f"/flow_run_states/{listed['id']}").json()["data"] == {"blob": LARGE}


def test_deployments_are_listed_without_what_is_large(api):
    deployment = make_deployment(parameters={"a": LARGE}, parameter_openapi_schema=None, description=LARGE)

    (listed,) = api.send("/deployments/filter", {}).json()
    alone = api.read(f"/deployments/{deployment.id}").json()

    assert listed["parameters"][OMITTED]["bytes"] > SHOWN
    assert LARGE not in listed["description"]
    assert listed["parameter_openapi_schema"] == alone["parameter_openapi_schema"]
    assert alone["parameters"] == {"a": LARGE}
    assert alone["description"] == LARGE


def test_artifacts_are_listed_without_what_is_large(api):
    artifact = make_artifact(data=LARGE, description=LARGE)

    (listed,) = api.send("/artifacts/filter", {}).json()
    (latest,) = api.send("/artifacts/latest/filter", {}).json()
    alone = api.read(f"/artifacts/{artifact.id}").json()

    assert OMITTED in listed["data"]
    assert "read it by itself" in listed["description"]
    assert (latest["data"], latest["description"]) == (listed["data"], listed["description"])
    assert (alone["data"], alone["description"]) == (LARGE, LARGE)


def test_a_page_of_large_runs_is_small(api):
    for _ in range(20):
        run = make_flow_run(make_state("COMPLETED", data={"blob": "x" * 40_000}))
        FlowRun.objects.filter(pk=run.pk).update(parameters={"a": "x" * 40_000}, context={"a": "x" * 40_000})

    answer = api.send("/flow_runs/filter", {})

    assert len(answer.json()) == 20
    assert len(answer.content) < 20 * 4 * (SHOWN + 1000)
