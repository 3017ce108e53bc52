"""Calls about blocks: configuration that is stored under a name, its secrets sealed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from orionflow import contract
from orionflow.calls import Call, body

if TYPE_CHECKING:
    from orionflow.contract.blocks import BlockDocument, BlockSchema, BlockType

NEWEST = 1


def read_block_type(slug: str) -> Call[BlockType]:
    """A block type by its slug."""
    return Call("GET", f"/block_types/slug/{quote(slug, safe='')}", read=contract.blocks.BlockType)


def install_block_types() -> Call[None]:
    """Make the usual types known where they are not."""
    return Call("POST", "/block_types/install_system_block_types")


def read_newest_block_schemas(block_type_id: UUID) -> Call[list[BlockSchema]]:
    """The newest schema of a type, if there is one."""
    asked = {"block_schemas": {"block_type_id": {"any_": [str(block_type_id)]}}, "limit": NEWEST}
    return Call("POST", "/block_schemas/filter", asked, read=list[contract.blocks.BlockSchema])


def create_block_schema(block_type_id: UUID, fields: Mapping[str, Any]) -> Call[BlockSchema]:
    """The schema with these fields; it is made if it is new."""
    sent = body(contract.blocks.BlockSchemaCreate, block_type_id=block_type_id, fields=dict(fields))
    return Call("POST", "/block_schemas/", sent, read=contract.blocks.BlockSchema)


def read_block(type_slug: str, name: str, *, include_secrets: bool = False) -> Call[BlockDocument]:
    """The block of a type that has a name. Secrets are masked unless they are asked for, by one who may."""
    path = f"/block_types/slug/{quote(type_slug, safe='')}/block_documents/name/{quote(name, safe='')}"
    asked = {"include_secrets": "true"} if include_secrets else None
    return Call("GET", path, params=asked, read=contract.blocks.BlockDocument)


def create_block(name: str, schema: BlockSchema, content: Mapping[str, Any]) -> Call[BlockDocument]:
    """A new block of a schema."""
    sent = body(
        contract.blocks.BlockDocumentCreate,
        name=name,
        block_type_id=schema.block_type_id,
        block_schema_id=schema.id,
        data=dict(content),
    )
    return Call("POST", "/block_documents/", sent, read=contract.blocks.BlockDocument, idempotent=False)


def update_block(block_id: UUID, content: Mapping[str, Any]) -> Call[None]:
    """Change the named fields of a block."""
    return Call("PATCH", f"/block_documents/{block_id}", body(contract.blocks.BlockDocumentUpdate, data=dict(content)))


def delete_block(block_id: UUID) -> Call[None]:
    """Delete a block; blocks that held it lose it."""
    return Call("DELETE", f"/block_documents/{block_id}")
