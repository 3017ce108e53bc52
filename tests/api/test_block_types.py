"""Block types under /block_types/."""

from __future__ import annotations

from uuid import uuid4

import pytest

from deployments.blocks.core.builtin_types import BUILTIN, PROTECTED
from tests.api.blocks import login_schema, make_document, make_schema, make_type

pytestmark = pytest.mark.django_db


def test_a_type_is_created_and_read_by_id_and_slug(api):
    made = make_type(api, description="A login", logo_url="https://example.org/logo.png")

    block_type = made.json()
    assert made.status_code == 201
    assert (block_type["name"], block_type["is_protected"], block_type["code_example"]) == ("Login", False, None)
    assert api.read("/block_types/slug/login").json() == block_type
    assert api.read(f"/block_types/{block_type['id']}").json() == block_type


def test_a_slug_is_given_once(api):
    make_type(api)

    answer = make_type(api)

    assert (answer.status_code, answer.json()["code"]) == (409, "block_type_exists")


def test_a_type_is_changed(api):
    block_type = make_type(api, description="old", code_example="x = 1").json()

    answer = api.call("PATCH", f"/block_types/{block_type['id']}", {"description": "new", "code_example": None})

    changed = api.read("/block_types/slug/login").json()
    assert answer.status_code == 204
    assert (changed["description"], changed["code_example"]) == ("new", None)


def test_a_type_is_deleted_with_all_that_is_of_it(api):
    schema = login_schema(api)
    document = make_document(api, schema).json()

    answer = api.call("DELETE", f"/block_types/{schema['block_type_id']}")

    assert answer.status_code == 204
    assert api.read(f"/block_schemas/{schema['id']}").status_code == 404
    assert api.read(f"/block_documents/{document['id']}").status_code == 404


def test_a_protected_type_can_be_registered_again_but_not_deleted(api):
    block_type = make_type(api, "secret").json()
    schema = make_schema(api, block_type, {"title": "Secret"}).json()
    path = f"/block_types/{block_type['id']}"

    body = api.call("PATCH", path, {"description": "what clients say of it"})
    refused = [api.call("DELETE", path), api.call("DELETE", f"/block_schemas/{schema['id']}")]

    assert body.status_code == 204
    assert [answer.status_code for answer in refused] == [403, 403]
    assert [answer.json()["code"] for answer in refused] == ["block_type_protected", "block_schema_protected"]
    assert refused[0].json()["detail"] == "protected block types cannot be deleted."
    assert api.read(path).json()["is_protected"] is True
    assert api.read(f"/block_schemas/{schema['id']}").status_code == 200


@pytest.mark.parametrize(
    ("asked", "slugs"),
    [
        (None, ["json", "login"]),
        ({"block_types": {"name": {"like_": "LOG"}}}, ["login"]),
        ({"block_types": {"slug": {"any_": ["json"]}}}, ["json"]),
        ({"block_schemas": {"block_capabilities": {"all_": ["write"]}}}, ["json"]),
        ({"block_schemas": {"version": {"any_": ["none"]}}}, []),
        ({"limit": 1, "offset": 1}, ["login"]),
    ],
)
def test_types_are_listed(api, asked, slugs):
    login_schema(api)
    make_schema(api, make_type(api, "json").json(), {"title": "JSON"}, capabilities=["read", "write"])

    listed = api.send("/block_types/filter", asked).json()

    assert [block_type["slug"] for block_type in listed] == slugs


def test_the_usual_types_are_installed_once_and_leave_others_alone(api):
    own = make_type(api, "json", description="mine").json()

    answers = [api.send("/block_types/install_system_block_types") for _ in range(2)]

    slugs = [block_type["slug"] for block_type in api.send("/block_types/filter").json()]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, None), (200, None)]
    assert sorted(slugs) == sorted(BUILTIN)
    assert set(BUILTIN) > PROTECTED
    assert api.read("/block_types/slug/json").json() == own


def test_missing_objects_are_not_found(api):
    assert api.read("/block_types/slug/none").json() == {"detail": "Block type not found"}
    assert api.read("/block_types/slug/none/block_documents").status_code == 404
    assert api.call("PATCH", f"/block_types/{uuid4()}", {"description": "x"}).status_code == 404
    assert api.call("DELETE", f"/block_types/{uuid4()}").status_code == 404
    assert make_schema(api, {"id": str(uuid4())}).status_code == 409


@pytest.mark.parametrize("fields", [{"slug": "Bad_Slug"}, {"name": "a/b"}, {"logo_url": "no address"}, {"colour": "x"}])
def test_a_type_that_does_not_fit_is_refused(api, fields):
    answer = api.send("/block_types/", {"name": "A", "slug": "a", **fields})

    assert answer.status_code == 422
    assert answer.json()["exception_detail"][0]["loc"] == ["body", next(iter(fields))]
