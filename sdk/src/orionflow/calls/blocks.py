"""Calls about blocks: configuration that is stored under a name, with sealed secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from orionflow import contract
from orionflow.calls import Call, Collection, body

if TYPE_CHECKING:
    from orionflow.contract.blocks import BlockDocument, BlockSchema, BlockType

BLOCKS: Collection[BlockDocument] = Collection("/block_documents", lambda: contract.blocks.BlockDocument)
BLOCK_TYPES: Collection[BlockType] = Collection("/block_types", lambda: contract.blocks.BlockType)
BLOCK_SCHEMAS: Collection[BlockSchema] = Collection("/block_schemas", lambda: contract.blocks.BlockSchema)
NEWEST = 1


def read_block_type(slug: str) -> Call[BlockType]:
    """Read a block type by its slug."""
    return Call("GET", _of_slug(slug), read=BLOCK_TYPES.answer)


def _of_slug(slug: str) -> str:
    return f"{BLOCK_TYPES.path}/slug/{quote(slug, safe='')}"


def install_block_types() -> Call[None]:
    """Create the built-in block types that are missing."""
    return Call("POST", f"{BLOCK_TYPES.path}/install_system_block_types")


def read_newest_block_schemas(block_type_id: UUID | str) -> Call[list[BlockSchema]]:
    """Read the newest schema of a type, if there is one."""
    asked = {"block_schemas": {"block_type_id": {"any_": [str(block_type_id)]}}, "limit": NEWEST}
    return BLOCK_SCHEMAS.find(asked)


def create_block_schema(block_type_id: UUID, fields: Mapping[str, Any]) -> Call[BlockSchema]:
    """Return the schema with these fields; it is created if it is new."""
    sent = body(contract.blocks.BlockSchemaCreate, block_type_id=block_type_id, fields=dict(fields))
    return BLOCK_SCHEMAS.create(sent)


def read_block(type_slug: str, name: str, *, include_secrets: bool = False) -> Call[BlockDocument]:
    """Read a block by its type and name. Secrets are masked unless requested by a sender who may read them."""
    path = f"{_of_slug(type_slug)}/block_documents/name/{quote(name, safe='')}"
    asked = {"include_secrets": "true"} if include_secrets else None
    return Call("GET", path, params=asked, read=BLOCKS.answer)


def create_block(name: str, schema: BlockSchema, content: Mapping[str, Any]) -> Call[BlockDocument]:
    """Create a block with a schema."""
    sent = body(
        contract.blocks.BlockDocumentCreate,
        name=name,
        block_type_id=schema.block_type_id,
        block_schema_id=schema.id,
        data=dict(content),
    )
    return Call("POST", f"{BLOCKS.path}/", sent, read=BLOCKS.answer, idempotent=False)


def update_block(block_id: UUID, content: Mapping[str, Any]) -> Call[None]:
    """Change the named fields of a block."""
    return BLOCKS.update(block_id, body(contract.blocks.BlockDocumentUpdate, data=dict(content)))


def replace_block(block_id: UUID | str, content: Mapping[str, Any], schema_id: UUID | str) -> Call[None]:
    """Replace all fields of a block by these fields of a schema."""
    kind = contract.blocks.BlockDocumentUpdate
    sent = body(kind, data=dict(content), block_schema_id=schema_id, merge_existing_data=False)
    return BLOCKS.update(block_id, sent)


def delete_block(block_id: UUID) -> Call[None]:
    """Delete a block; blocks that contained it lose it."""
    return BLOCKS.delete(block_id)
