"""Calls about blocks: configuration that is stored under a name, its secrets sealed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

from orionflow.calls import Call

Block = dict[str, Any]
NEWEST = 1


def read_block_type(slug: str) -> Call[Block]:
    """A block type by its slug."""
    return Call("GET", f"/block_types/slug/{quote(slug, safe='')}", read=Block)


def install_block_types() -> Call[None]:
    """Make the usual types known where they are not."""
    return Call("POST", "/block_types/install_system_block_types")


def read_newest_block_schemas(block_type_id: UUID | str) -> Call[list[Block]]:
    """The newest schema of a type, if there is one."""
    criteria = {"block_type_id": {"any_": [str(block_type_id)]}}
    return Call("POST", "/block_schemas/filter", {"block_schemas": criteria, "limit": NEWEST}, read=list[Block])


def create_block_schema(block_type_id: UUID | str, fields: Mapping[str, Any]) -> Call[Block]:
    """The schema with these fields; it is made if it is new."""
    return Call("POST", "/block_schemas/", {"block_type_id": str(block_type_id), "fields": dict(fields)}, read=Block)


def read_block(type_slug: str, name: str, *, include_secrets: bool = False) -> Call[Block]:
    """The block of a type that has a name. Secrets are masked unless they are asked for, by one who may."""
    path = f"/block_types/slug/{quote(type_slug, safe='')}/block_documents/name/{quote(name, safe='')}"
    return Call("GET", path, params={"include_secrets": "true"} if include_secrets else None, read=Block)


def create_block(name: str, schema: Mapping[str, Any], content: Mapping[str, Any]) -> Call[Block]:
    """A new block of a schema."""
    body = {
        "name": name,
        "block_type_id": schema["block_type_id"],
        "block_schema_id": schema["id"],
        "data": dict(content),
    }
    return Call("POST", "/block_documents/", body, read=Block, idempotent=False)


def update_block(block_id: UUID | str, content: Mapping[str, Any]) -> Call[None]:
    """Change the named fields of a block."""
    return Call("PATCH", f"/block_documents/{block_id}", {"data": dict(content)})


def delete_block(block_id: UUID | str) -> Call[None]:
    """Delete a block; blocks that held it lose it."""
    return Call("DELETE", f"/block_documents/{block_id}")
