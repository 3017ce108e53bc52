"""Secrets on the server: stored sealed under a name, and readable with permission."""

from __future__ import annotations

from typing import Any

from orionflow.calls.blocks import (
    create_block,
    create_block_schema,
    install_block_types,
    read_block,
    read_block_type,
    read_newest_block_schemas,
    update_block,
)
from orionflow.client import OrionClient
from orionflow.contract.masking import known, secrets_in
from orionflow.engine.effects import Steps, send
from orionflow.errors import Conflict, NotFound

SLUG = "secret"
# The fields of a secret, for a server that does not know them yet.
FIELDS = {
    "title": "Secret",
    "type": "object",
    "properties": {"value": {"title": "Value", "type": "string", "writeOnly": True, "format": "password"}},
    "required": ["value"],
    "secret_fields": ["value"],
    "block_type_slug": SLUG,
    "block_schema_references": {},
}


def read_secret(client: OrionClient, name: str) -> Steps[Any]:
    """Return the clear value. Raise NotFound, or NotAllowed if the user may read blocks but not their secrets."""
    try:
        found = yield send(client, read_block(SLUG, name, include_secrets=True))
    except NotFound as error:
        raise NotFound(
            f"There is no secret {name!r}; store one with `orion secret set {name}`.",
            status=error.status,
            detail=error.detail,
        ) from None
    known.learn(secrets_in(found.data["value"]))
    return found.data["value"]


def save_secret(client: OrionClient, name: str, value: Any, *, overwrite: bool) -> Steps[bool]:
    """Store a secret, and return whether it is new. Raise Conflict if the name exists and must not be overwritten."""
    known.learn(secrets_in(value))
    try:
        found = yield send(client, read_block(SLUG, name))
    except NotFound:
        schema = yield from _schema(client)
        yield send(client, create_block(name, schema, {"value": value}))
        return True
    if not overwrite:
        raise Conflict(f"There is a secret {name!r} already; pass overwrite=True to give it another value.")
    yield send(client, update_block(found.id, {"value": value}))
    return False


def _schema(client: OrionClient) -> Steps[Any]:
    try:
        kind = yield send(client, read_block_type(SLUG))
    except NotFound:
        # A server creates the built-in types when it starts; an API in this process may not have them yet.
        yield send(client, install_block_types())
        kind = yield send(client, read_block_type(SLUG))
    known = yield send(client, read_newest_block_schemas(kind.id))
    return known[0] if known else (yield send(client, create_block_schema(kind.id, FIELDS)))
