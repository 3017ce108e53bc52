"""Block types: the kinds of configuration that programs have registered."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Q
from rest_framework.response import Response

from deployments.blocks.core.builtin_types import is_protected
from deployments.blocks.services.blocks import create_block_type, delete_block_type, update_block_type
from deployments.blocks.services.builtin_types import install_builtin_block_types
from deployments.filters import BlockSchemaFilter, BlockTypeFilter, block_types_matching
from deployments.models import BlockType
from orchestration.api.answers import as_answer, changes_in
from orchestration.api.errors import existing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import blocks as contract


class BlockTypeListing(Page):
    block_types: BlockTypeFilter | None = None
    block_schemas: BlockSchemaFilter | None = None


class CreateBlockType(Operation):
    """Create a block type."""

    method = "POST"
    action_required = Action.CHANGE_BLOCKS
    answers = {201: contract.BlockType}

    def perform(self, body: contract.BlockTypeCreate) -> Response:
        block_type = create_block_type(columns=body.model_dump(exclude_unset=True), now=current_time())
        return Response(block_type_out(block_type), status=201)


class ReadBlockType(Operation):
    """Read a block type by its id."""

    method = "GET"
    action_required = Action.READ_BLOCKS
    answers = {200: contract.BlockType}

    def perform(self, id: UUID) -> dict[str, Any]:
        return _found(Q(pk=id))


class ReadBlockTypeBySlug(Operation):
    """Read a block type by its slug."""

    method = "GET"
    action_required = Action.READ_BLOCKS
    answers = {200: contract.BlockType}

    def perform(self, slug: str) -> dict[str, Any]:
        return _found(Q(slug=slug))


class UpdateBlockType(Operation):
    """Change how a block type is displayed."""

    method = "PATCH"
    action_required = Action.CHANGE_BLOCKS
    answers = {204: None}

    def perform(self, id: UUID, body: contract.BlockTypeUpdate) -> None:
        update_block_type(block_type_id=id, changes=changes_in(body, BlockType), now=current_time())


class DeleteBlockType(Operation):
    """Delete a block type with its schemas and documents. Protected types cannot be deleted."""

    method = "DELETE"
    action_required = Action.CHANGE_BLOCKS
    answers = {204: None, 403: dict[str, str]}

    def perform(self, id: UUID) -> None:
        delete_block_type(block_type_id=id)


class FilterBlockTypes(Operation):
    """List block types by name."""

    method = "POST"
    action_required = Action.READ_BLOCKS
    answers = {200: list[contract.BlockType]}
    body_optional = True

    def perform(self, body: BlockTypeListing) -> list[dict[str, Any]]:
        wanted = block_types_matching(body.block_types, body.block_schemas)
        return [
            block_type_out(one)
            for one in self.paginate_queryset(BlockType.objects.filter(wanted).order_by("name", "id"))
        ]


class InstallSystemBlockTypes(Operation):
    """Create the built-in block types that do not exist yet."""

    method = "POST"
    action_required = Action.CHANGE_BLOCKS
    answers = {200: None}

    def perform(self) -> None:
        install_builtin_block_types(now=current_time())


def block_type_out(block_type: BlockType) -> dict[str, Any]:
    return as_answer(contract.BlockType, block_type, is_protected=is_protected(block_type.slug))


def _found(which: Q) -> dict[str, Any]:
    block_type = existing(BlockType.objects.filter(which).first(), "Block type")
    return block_type_out(block_type)
