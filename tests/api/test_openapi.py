"""The OpenAPI document, and the answers that it promises; both viewers work from our own files."""

from __future__ import annotations

import re

import pytest
from django.contrib.staticfiles import finders

from orchestration.api.operations import arguments_of
from orion_site.openapi import openapi, operations

pytestmark = pytest.mark.django_db


def test_the_document_names_every_operation_once(api):
    document = api.read("/openapi.json").json()

    told = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in told]
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": "/api"}]
    assert len(names) == len(set(names)) == len(list(operations())) > 60


def test_every_operation_says_what_it_does_and_what_it_asks(api):
    for path, methods in api.read("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            assert operation["description"].endswith((".", "?")), f"{method} {path}"
            assert operation["x-permission"], f"{method} {path}"


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
    assert all(finders.find(place.removeprefix("/static/")) for place in places if place.startswith("/static/"))
