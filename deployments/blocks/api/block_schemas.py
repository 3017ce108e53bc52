"""Block schemas: which fields a block type has in one version of a program. Clients find them by checksum."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.utils import timezone
from pydantic import Field
from rest_framework.response import Response
from typing_extensions import TypedDict

from deployments.blocks.api.block_types import BlockTypeOut, block_type_out
from deployments.blocks.selectors import block_capabilities
from deployments.blocks.services.blocks import create_block_schema, delete_block_schema
from deployments.filters import BlockSchemaFilter
from deployments.models import BlockSchema
from orchestration.api.errors import Missing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orion_site.accounts.permissions import Action
from orionflow.contract.wire import JSONObject, StrictWire, Text255, Wire
from runs.lists.filters.conditions import matched


class BlockSchemaCreate(StrictWire):
    fields: JSONObject = {}
    block_type_id: UUID
    capabilities: Annotated[list[Text255], Field(max_length=1000)] = []
    version: Text255 = "non-versioned"


class BlockSchemaListing(Page):
    block_schemas: BlockSchemaFilter | None = None


class VersionQuery(Wire):
    version: Text255 | None = None


class BlockSchemaOut(TypedDict):
    id: UUID
    created: datetime
    updated: datetime
    checksum: str
    fields: dict[str, Any]
    block_type_id: UUID
    block_type: BlockTypeOut
    capabilities: list[str]
    version: str


class CreateBlockSchema(Operation):
    """Make the fields of a block type known; the same fields in the same version are stored once."""

    method = "POST"
    action_required = Action.CHANGE_BLOCKS
    answers = {201: BlockSchemaOut, 200: BlockSchemaOut}
    missing = 409

    def perform(self, body: BlockSchemaCreate) -> Response:
        schema, created = create_block_schema(
            **{name: getattr(body, name) for name in type(body).model_fields}, now=timezone.now()
        )
        return Response(block_schema_out(schema), status=201 if created else 200)


class ReadBlockSchema(Operation):
    """Read a block schema by its id."""

    method = "GET"
    action_required = Action.READ_BLOCKS
    answers = {200: BlockSchemaOut}

    def perform(self, id: UUID) -> BlockSchemaOut:
        return _found(BlockSchema.objects.filter(pk=id).select_related("block_type").first())


class ReadBlockSchemaByChecksum(Operation):
    """Read the newest block schema with a checksum, or the one in a version."""

    method = "GET"
    action_required = Action.READ_BLOCKS
    answers = {200: BlockSchemaOut}

    def perform(self, checksum: str, query: VersionQuery) -> BlockSchemaOut:
        found = BlockSchema.objects.filter(checksum=checksum).select_related("block_type").order_by("-created")
        return _found((found.filter(version=query.version) if query.version is not None else found).first())


class DeleteBlockSchema(Operation):
    """Delete a block schema with the documents that it describes; those of a protected type stay."""

    method = "DELETE"
    action_required = Action.CHANGE_BLOCKS
    answers = {204: None, 403: dict[str, str]}

    def perform(self, id: UUID) -> None:
        delete_block_schema(block_schema_id=id)


class FilterBlockSchemas(Operation):
    """List block schemas, newest first."""

    method = "POST"
    action_required = Action.READ_BLOCKS
    answers = {200: list[BlockSchemaOut]}
    body_optional = True

    def perform(self, body: BlockSchemaListing) -> list[BlockSchemaOut]:
        found = BlockSchema.objects.filter(matched(body.block_schemas)).select_related("block_type")
        return [block_schema_out(schema) for schema in self.paginate_queryset(found.order_by("-created", "-id"))]


class ReadBlockCapabilities(Operation):
    """List everything that some block can do."""

    method = "GET"
    action_required = Action.READ_BLOCKS
    answers = {200: list[str]}

    def perform(self) -> list[str]:
        return block_capabilities()


def block_schema_out(schema: BlockSchema) -> BlockSchemaOut:
    return {
        "id": schema.id,
        "created": schema.created,
        "updated": schema.updated,
        "checksum": schema.checksum,
        "fields": schema.fields,
        "block_type_id": schema.block_type_id,
        "block_type": block_type_out(schema.block_type),
        "capabilities": schema.capabilities,
        "version": schema.version,
    }


def _found(schema: BlockSchema | None) -> BlockSchemaOut:
    if schema is None:
        raise Missing("Block schema")
    return block_schema_out(schema)
