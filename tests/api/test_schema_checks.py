"""Values held to a schema, under /ui/schemas/validate."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.django_db

PATH = "/ui/schemas/validate"
SCHEMA = {"type": "object", "properties": {"n": {"type": "string", "maxLength": 3}}, "required": ["n"]}
OF_VARIABLE = {"__prefect_kind": "workspace_variable", "variable_name": "v"}


def test_values_are_held_to_the_schema(api, counted):
    with counted("validate parameters"):
        flawed = api.send(PATH, {"schema": SCHEMA, "values": {}})
    fit = api.send(PATH, {"schema": SCHEMA, "values": {"n": "abc"}})

    error = {"property": "n", "errors": ["'n' is a required property"]}
    assert (flawed.status_code, flawed.json()) == (200, {"errors": [error], "valid": False})
    assert (fit.status_code, fit.json()) == (200, {"errors": [], "valid": True})


def test_variables_are_filled_in_first(api, counted):
    api.send("/variables/", {"name": "v", "value": "long enough"})

    with counted("validate parameters with a variable"):
        answer = api.send(PATH, {"schema": SCHEMA, "values": {"n": OF_VARIABLE}})

    assert answer.json()["errors"] == [{"property": "n", "errors": ["'long enough' is too long"]}]


def test_texts_of_automations_are_read(api):
    texts = ("{{ event.id }}", "{{ event.id")
    values = [{"n": {"__prefect_kind": "jinja", "template": text}} for text in texts]

    answers = [api.send(PATH, {"schema": SCHEMA, "values": one}).json() for one in values]

    assert [answer["valid"] for answer in answers] == [True, False]
    assert "Line 1" in answers[1]["errors"][0]["errors"][0]


@pytest.mark.parametrize(
    "schema",
    [{"type": 5}, {"properties": {"n": {"$ref": "#/nowhere"}}}, {"properties": {"n": {"$ref": "http://127.0.0.1/x"}}}],
)
def test_an_invalid_schema_is_refused(api, schema):
    answer = api.send(PATH, {"schema": schema, "values": {"n": 1}})

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("Invalid schema: ")


@pytest.mark.parametrize(
    "body", [{"schema": {}}, {"values": {}}, {"schema": [], "values": {}}, {"schema": {}, "values": 1}]
)
def test_invalid_checks_are_refused(api, body):
    answer = api.send(PATH, body)

    assert answer.status_code == 422
    assert "exception_detail" in answer.json()


def test_extremely_deep_values_are_not_a_server_error(api):
    deep = {"type": "integer"}
    for _ in range(90):
        deep = {"properties": {"n": deep}}

    answer = api.send(PATH, {"schema": deep, "values": {"n": {}}})

    assert answer.status_code in {200, 422}
