"""Block schemas under /block_schemas/ and /block_capabilities/, and those with which a new server begins."""

from __future__ import annotations

import pytest

from deployments.blocks.core.blocks import checksum_of, masked, secret_paths
from deployments.blocks.core.builtin_schemas import SCHEMAS, fields_of
from deployments.blocks.core.builtin_types import BUILTIN
from events.notifications.core.messages import _MAKERS, delivery_of
from events.notifications.core.receivers import RECEIVERS, Message
from orionflow.storage.keeping import FIELDS as FIELDS_OF_SECRETS
from tests.api.blocks import FIELDS, login_schema, make_schema, make_type

pytestmark = pytest.mark.django_db
VALUES = {"string": "text", "integer": 1, "array": ["one"], "object": {"a": "b"}}


def test_a_schema_is_found_by_its_checksum_and_version(api):
    block_type = make_type(api).json()
    first = make_schema(api, block_type, version="1", capabilities=["b", "a", "b"])
    second = make_schema(api, block_type, version="2").json()

    schema = first.json()
    assert first.status_code == 201
    assert (schema["fields"], schema["capabilities"], schema["block_type"]) == (FIELDS, ["a", "b"], block_type)
    assert api.read(f"/block_schemas/checksum/{schema['checksum']}?version=1").json() == schema
    assert api.read(f"/block_schemas/checksum/{schema['checksum']}").json() == second
    assert api.read(f"/block_schemas/checksum/{schema['checksum']}?version=3").json()["detail"] == (
        "Block schema not found"
    )


def test_the_same_schema_is_stored_once(api):
    block_type = make_type(api).json()

    first, second = make_schema(api, block_type).json(), make_schema(api, block_type).json()

    assert first == second
    assert len(api.send("/block_schemas/filter", {}).json()) == 1


@pytest.mark.parametrize(
    ("asked", "versions"),
    [
        ({}, ["2", "1"]),
        ({"block_schemas": {"version": {"any_": ["1"]}}}, ["1"]),
        ({"block_schemas": {"block_capabilities": {"all_": ["read"]}}}, ["2"]),
        ({"block_schemas": {"block_type_id": {"any_": []}}}, []),
    ],
)
def test_schemas_are_listed_newest_first(api, asked, versions):
    block_type = make_type(api).json()
    make_schema(api, block_type, version="1")
    make_schema(api, block_type, version="2", capabilities=["read"])

    listed = api.send("/block_schemas/filter", asked).json()

    assert [schema["version"] for schema in listed] == versions


def test_capabilities_are_listed(api):
    block_type = make_type(api).json()
    make_schema(api, block_type, version="1", capabilities=["write", "read"])
    make_schema(api, block_type, version="2", capabilities=["read"])

    assert api.read("/block_capabilities/").json() == ["read", "write"]


def test_a_schema_is_deleted(api):
    schema = login_schema(api)

    answers = [api.call("DELETE", f"/block_schemas/{schema['id']}").status_code for _ in range(2)]

    assert answers == [204, 404]


def install(api):
    assert api.send("/block_types/install_system_block_types").status_code == 200


def test_repeated_installation_keeps_one_schema_for_each_known_type(api):
    install(api)
    install(api)

    schemas = api.send("/block_schemas/filter", {"limit": 200}).json()

    assert sorted(one["block_type"]["slug"] for one in schemas) == sorted(BUILTIN)
    assert set(SCHEMAS) == set(BUILTIN)


def test_blocks_that_can_notify_are_found_by_their_capability(api):
    install(api)

    asked = {"block_schemas": {"block_capabilities": {"all_": ["notify"]}}, "limit": 200}
    found = {one["block_type"]["slug"] for one in api.send("/block_schemas/filter", asked).json()}

    assert found - {"twilio-sms"} == set(_MAKERS) == set(RECEIVERS)


@pytest.mark.parametrize("slug", SCHEMAS)
def test_secrets_of_a_schema_are_fields_of_it_and_are_masked(slug):
    fields = fields_of(slug, BUILTIN[slug][0])
    content = {name: VALUES.get(one.get("type"), "x") for name, one in fields["properties"].items()}

    shown = masked(content, secret_paths(fields))

    secret = {path.partition(".")[0] for path in fields["secret_fields"]}
    assert secret <= set(fields["properties"])
    assert {name for name in content if shown[name] != content[name]} == secret
    assert checksum_of(fields).startswith("sha256:")


@pytest.mark.parametrize("slug", sorted(_MAKERS))
def test_a_block_with_what_its_schema_requires_can_be_sent_to(slug):
    fields = fields_of(slug, BUILTIN[slug][0])
    needed = {name: fields["properties"][name] for name in fields["required"]}
    content = {name: VALUES[one["type"]] for name, one in needed.items()} | {"url": "https://example.org/hook"}

    delivery = delivery_of(slug, content, Message("m", "subject", "body"))

    assert delivery.url.startswith("https://")


def test_the_secret_is_the_one_that_the_sdk_registers():
    assert checksum_of(fields_of("secret", "Secret")) == checksum_of(FIELDS_OF_SECRETS)
