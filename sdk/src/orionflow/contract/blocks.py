"""Blocks and variables on the wire: types, their schemas, filled-in documents, and texts under names."""

from __future__ import annotations

from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from orionflow.contract.wire import Details, JSONObject, Name, Names, Stored, StrictWire, Tags, Text255, Wire

# --- types ----------------------------------------------------------------------------------------------------------

Slug = Annotated[str, Field(min_length=1, max_length=255, pattern="^[a-z0-9-]+$")]
Address = Annotated[str, Field(min_length=1, max_length=2083, pattern="^[A-Za-z][A-Za-z0-9+.-]*:")]


class BlockTypeUpdate(StrictWire):
    """Changes of a block type. Only the fields that are sent are changed."""

    logo_url: Address | None = None
    documentation_url: Address | None = None
    description: str | None = None
    code_example: str | None = None


class BlockTypeCreate(BlockTypeUpdate):
    name: Name
    slug: Slug


class BlockType(Stored):
    """A kind of configuration that a program has registered."""

    name: str
    slug: str
    logo_url: str | None = None
    documentation_url: str | None = None
    description: str | None = None
    code_example: str | None = None
    is_protected: bool = False


# --- schemas --------------------------------------------------------------------------------------------------------


class BlockSchemaCreate(StrictWire):
    fields: JSONObject = {}
    block_type_id: UUID
    capabilities: Annotated[list[Text255], Field(max_length=1000)] = []
    version: Text255 = "non-versioned"


class VersionQuery(Wire):
    version: Text255 | None = None


class BlockSchema(Stored):
    """The fields that a block type has in one version of a program."""

    checksum: str
    fields: Details = {}
    block_type_id: UUID
    block_type: BlockType
    capabilities: Names = []
    version: str = "non-versioned"


# --- documents ------------------------------------------------------------------------------------------------------


class BlockDocumentCreate(StrictWire):
    name: Slug | None = None
    data: JSONObject = {}
    block_schema_id: UUID
    block_type_id: UUID
    is_anonymous: bool = False

    @model_validator(mode="after")
    def _is_found_again(self) -> Self:
        if self.name is None and not self.is_anonymous:
            raise PydanticCustomError("name_missing", "A block that is not anonymous needs a name")
        return self


class BlockDocumentUpdate(StrictWire):
    """Changes of a block. Only sent fields are changed; without `merge_existing_data`, the sent data replace all."""

    block_schema_id: UUID | None = None
    data: JSONObject | None = None
    merge_existing_data: bool = True


class SecretsQuery(Wire):
    include_secrets: bool = False


class BlockDocument(Stored):
    """A block with its schema and type. Blocks inside it are in its data and, by field, in its references."""

    name: str
    data: Details = {}
    block_schema_id: UUID
    block_schema: BlockSchema
    block_type_id: UUID
    block_type_name: str = ""
    block_type: BlockType
    block_document_references: Details = {}
    is_anonymous: bool = False


# --- variables ------------------------------------------------------------------------------------------------------

VariableName = Annotated[str, Field(min_length=1, max_length=255, pattern="^[a-z0-9_]+$")]
Value = Annotated[str, Field(max_length=5000)]


class VariableCreate(StrictWire):
    name: VariableName
    value: Value
    tags: Tags = []


class VariableUpdate(StrictWire):
    """Changes of a variable. Only the fields that are sent are changed."""

    name: VariableName | None = None
    value: Value | None = None
    tags: Tags | None = None


class Variable(Stored):
    """A short text with a name, which flows read and users change."""

    name: str
    value: str
    tags: Names = []
