"""The OpenAPI document, and the answers that it promises; both viewers work from our own files."""

from __future__ import annotations

import re

import pytest
from django.contrib.staticfiles import finders
from jsonschema import Draft202012Validator

from orchestration.api.operations import arguments_of
from orion_site.openapi.document import openapi, operations
from orion_site.urls_api import api as addresses

pytestmark = pytest.mark.django_db


def test_the_document_names_every_operation_once(api):
    document = api.read("/openapi.json").json()

    found = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in found]
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": "/api"}]
    assert len(names) == len(set(names)) == len(list(operations())) > 60


def test_every_operation_documents_its_effect_and_its_body(api):
    for path, methods in api.read("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            assert operation["description"].endswith((".", "?")), f"{method} {path}"
            assert operation["x-permission"], f"{method} {path}"


def test_every_body_may_be_refused_for_its_length():
    found = [operation for path in openapi()["paths"].values() for operation in path.values()]

    assert all(("requestBody" in operation) == ("413" in operation["responses"]) for operation in found)


UNRECORDED = {
    # A whole page.
    "export_flow_run",
    "filter_audit_entries",
    "make_link",
    "read_me",
    "find_bottlenecks",
    "read_services",
    "read_settings",
    "read_version",
    "verify_audit_entries",
}


def test_every_operation_shows_what_is_asked_and_answered():
    found = [operation for path in openapi()["paths"].values() for operation in path.values()]

    shown = {operation["operationId"] for operation in found if "'examples':" in str(operation)}
    silent = {operation["operationId"] for operation in found if _answers_nothing(operation)}
    assert {operation["operationId"] for operation in found} - shown - silent == UNRECORDED


def _answers_nothing(operation):
    usual = operation["responses"][min(operation["responses"])]
    return "requestBody" not in operation and "content" not in usual


def test_examples_fit_their_schemas():
    document = openapi()
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        asked, answered = operation.get("requestBody"), operation["responses"].values()
        # Null stands for any value, which the schemas do not express; and a refused body need not fit the schema.
        _validate(document, asked, lambda name, value: name == "usual" and None not in _values(value))
        for answer in answered:
            _validate(document, answer, lambda name, value: True)


def _values(value):
    return list(value.values()) if isinstance(value, dict) else []


def _validate(document, part, is_to_fit):
    content = (part or {}).get("content", {}).get("application/json", {})
    for name, example in content.get("examples", {}).items():
        if is_to_fit(name, example["value"]):
            schema = {**content["schema"], "components": document["components"]}
            Draft202012Validator(schema).validate(example["value"])


def test_every_reference_leads_somewhere():
    document = openapi()

    references = set(re.findall(r"'#/components/schemas/([^']+)'", str(document)))

    assert references <= document["components"]["schemas"].keys()


def test_the_path_of_every_operation_gives_what_it_takes():
    for path, operation in operations():
        assert set(re.findall(r"{(\w+)}", path)) == arguments_of(operation).path.keys(), operation


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_viewers_load_nothing_from_elsewhere(api, page):
    answer = api.get(page, headers={"host": "localhost"})

    places = re.findall(r'(?:src|href|spec-url|data-document)="([^"]+)"', answer.content.decode())
    assert answer.status_code == 200
    assert "/api/openapi.json" in places
    assert all(place.startswith("/") and not place.startswith("//") for place in places)
    assert all(
        finders.find(re.sub("^/static/v-[0-9a-f]+/", "", place)) for place in places if place.startswith("/static/")
    )


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_viewers_lead_to_what_needs_no_scripts(api, page):
    text = api.get(page, headers={"host": "localhost"}).content.decode()

    links = re.findall(r'<a href="([^"]+)"', text)
    assert links == ["/", "/help/reference/api", "/api/openapi.json"]
    assert "<noscript>" in text
    assert {api.get(link, headers={"host": "localhost"}).status_code for link in links} == {200}


def test_subjects_are_in_the_order_of_their_addresses():
    """Viewers show them in the order of the document; the server tries those of reports first."""
    of_document = [path.split("/")[1] for path in openapi()["paths"]]

    declared = [str(address.pattern).split("/")[0] for address in addresses if hasattr(address.callback, "operations")]
    assert list(dict.fromkeys(of_document)) == list(dict.fromkeys(declared))
