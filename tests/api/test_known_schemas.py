"""The block types of a new server come with their schemas, so that a block can be made without any program."""

from __future__ import annotations

import pytest

from deployments.blocks.core.blocks import checksum_of, masked, secret_paths
from deployments.blocks.core.known_blocks import KNOWN
from deployments.blocks.core.known_schemas import SCHEMAS, fields_of
from events.notifications.core.messages import _MAKERS, delivery_of
from events.notifications.core.receivers import RECEIVERS, Message
from orionflow.storage.keeping import FIELDS

pytestmark = pytest.mark.django_db
VALUES = {"string": "text", "integer": 1, "array": ["one"], "object": {"a": "b"}}


def install(api):
    assert api.send("/block_types/install_system_block_types").status_code == 200


def test_every_known_type_has_a_schema_however_often_they_are_installed(api):
    install(api)
    install(api)

    schemas = api.send("/block_schemas/filter", {"limit": 200}).json()

    assert sorted(one["block_type"]["slug"] for one in schemas) == sorted(KNOWN)
    assert set(SCHEMAS) == set(KNOWN)


def test_what_can_notify_is_found_by_its_capability(api):
    install(api)

    asked = {"block_schemas": {"block_capabilities": {"all_": ["notify"]}}, "limit": 200}
    found = {one["block_type"]["slug"] for one in api.send("/block_schemas/filter", asked).json()}

    assert found - {"twilio-sms"} == set(_MAKERS) == set(RECEIVERS)


@pytest.mark.parametrize("slug", SCHEMAS)
def test_secrets_of_a_schema_are_fields_of_it_and_are_masked(slug):
    fields = fields_of(slug, KNOWN[slug][0])
    content = {name: VALUES.get(one.get("type"), "x") for name, one in fields["properties"].items()}

    shown = masked(content, secret_paths(fields))

    secret = {path.partition(".")[0] for path in fields["secret_fields"]}
    assert secret <= set(fields["properties"])
    assert {name for name in content if shown[name] != content[name]} == secret
    assert checksum_of(fields).startswith("sha256:")


@pytest.mark.parametrize("slug", sorted(_MAKERS))
def test_a_block_with_what_its_schema_requires_can_be_sent_to(slug):
    fields = fields_of(slug, KNOWN[slug][0])
    needed = {name: fields["properties"][name] for name in fields["required"]}
    content = {name: VALUES[one["type"]] for name, one in needed.items()} | {"url": "https://example.org/hook"}

    delivery = delivery_of(slug, content, Message("m", "subject", "body"))

    assert delivery.url.startswith("https://")


def test_the_secret_is_the_one_that_the_sdk_registers():
    assert checksum_of(fields_of("secret", "Secret")) == checksum_of(FIELDS)
