"""Block schemas: which fields a block type has in one version of a program. Clients find them by checksum."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework.response import Response

from deployments.blocks.api.block_types import block_type_out
from deployments.blocks.selectors import block_capabilities
from deployments.blocks.services.blocks import create_block_schema, delete_block_schema
from deployments.filters import BlockSchemaFilter
from deployments.models import BlockSchema
from orchestration.api.answers import as_answer
from orchestration.api.errors import existing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import blocks as contract
from runs.lists.filters.conditions import matched


class BlockSchemaListing(Page):
    block_schemas: BlockSchemaFilter | None = None


class CreateBlockSchema(Operation):
    """Register the fields of a block type. The same fields in the same version are stored once."""

    method = "POST"
    action_required = Action.CHANGE_BLOCKS
    answers = {201: contract.BlockSchema, 200: contract.BlockSchema}
    missing = 409

    def perform(self, body: contract.BlockSchemaCreate) -> Response:
        schema, created = create_block_schema(**body.model_dump(), now=current_time())
        return Response(block_schema_out(schema), status=201 if created else 200)


class ReadBlockSchema(Operation):
    """Read a block schema by its id."""

    method = "GET"
    action_required = Action.READ_BLOCKS
    answers = {200: contract.BlockSchema}

    def perform(self, id: UUID) -> dict[str, Any]:
        return _found(BlockSchema.objects.filter(pk=id).select_related("block_type").first())


class ReadBlockSchemaByChecksum(Operation):
    """Read the newest block schema with a checksum, or the one in a version."""

    method = "GET"
    action_required = Action.READ_BLOCKS
    answers = {200: contract.BlockSchema}

    def perform(self, checksum: str, query: contract.VersionQuery) -> dict[str, Any]:
        found = BlockSchema.objects.filter(checksum=checksum).select_related("block_type").order_by("-created")
        return _found((found.filter(version=query.version) if query.version is not None else found).first())


class DeleteBlockSchema(Operation):
    """Delete a block schema and its documents. Schemas of protected types cannot be deleted."""

    method = "DELETE"
    action_required = Action.CHANGE_BLOCKS
    answers = {204: None, 403: dict[str, str]}

    def perform(self, id: UUID) -> None:
        delete_block_schema(block_schema_id=id)


class FilterBlockSchemas(Operation):
    """List block schemas, newest first."""

    method = "POST"
    action_required = Action.READ_BLOCKS
    answers = {200: list[contract.BlockSchema]}
    body_optional = True

    def perform(self, body: BlockSchemaListing) -> list[dict[str, Any]]:
        found = BlockSchema.objects.filter(matched(body.block_schemas)).select_related("block_type")
        return [block_schema_out(schema) for schema in self.paginate_queryset(found.order_by("-created", "-id"))]


class ReadBlockCapabilities(Operation):
    """List the capabilities of all blocks."""

    method = "GET"
    action_required = Action.READ_BLOCKS
    answers = {200: list[str]}

    def perform(self) -> list[str]:
        return block_capabilities()


def block_schema_out(schema: BlockSchema) -> dict[str, Any]:
    return as_answer(contract.BlockSchema, schema, block_type=block_type_out(schema.block_type))


def _found(schema: BlockSchema | None) -> dict[str, Any]:
    return block_schema_out(existing(schema, "Block schema"))
