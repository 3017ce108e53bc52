"""Block types: the kinds of configuration that programs have made known."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from django.db.models import Q
from django.utils import timezone
from pydantic import Field
from rest_framework.response import Response
from typing_extensions import TypedDict

from deployments.blocks.core.builtin_types import is_protected
from deployments.blocks.services.blocks import create_block_type, delete_block_type, update_block_type
from deployments.blocks.services.builtin_types import install_builtin_block_types
from deployments.filters import BlockSchemaFilter, BlockTypeFilter, block_types_matching
from deployments.models import BlockType
from orchestration.api.errors import Missing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orion_site.accounts.permissions import Action
from orionflow.contract.wire import Name, StrictWire

Slug = Annotated[str, Field(min_length=1, max_length=255, pattern="^[a-z0-9-]+$")]
Address = Annotated[str, Field(min_length=1, max_length=2083, pattern="^[A-Za-z][A-Za-z0-9+.-]*:")]


class BlockTypeUpdate(StrictWire):
    """Only what is sent is changed."""

    logo_url: Address | None = None
    documentation_url: Address | None = None
    description: str | None = None
    code_example: str | None = None


class BlockTypeCreate(BlockTypeUpdate):
    name: Name
    slug: Slug


class BlockTypeListing(Page):
    block_types: BlockTypeFilter | None = None
    block_schemas: BlockSchemaFilter | None = None


class BlockTypeOut(TypedDict):
    id: UUID
    created: datetime
    updated: datetime
    name: str
    slug: str
    logo_url: str | None
    documentation_url: str | None
    description: str | None
    code_example: str | None
    is_protected: bool


class CreateBlockType(Operation):
    """Make a kind of block known."""

    method = "POST"
    action_required = Action.CHANGE_BLOCKS
    answers = {201: BlockTypeOut}

    def perform(self, body: BlockTypeCreate) -> Response:
        block_type = create_block_type(columns=body.model_dump(exclude_unset=True), now=timezone.now())
        return Response(block_type_out(block_type), status=201)


class ReadBlockType(Operation):
    """Read a block type by its id."""

    method = "GET"
    action_required = Action.READ_BLOCKS
    answers = {200: BlockTypeOut}

    def perform(self, id: UUID) -> BlockTypeOut:
        return _found(Q(pk=id))


class ReadBlockTypeBySlug(Operation):
    """Read a block type by its slug."""

    method = "GET"
    action_required = Action.READ_BLOCKS
    answers = {200: BlockTypeOut}

    def perform(self, slug: str) -> BlockTypeOut:
        return _found(Q(slug=slug))


class UpdateBlockType(Operation):
    """Change what is told of a block type."""

    method = "PATCH"
    action_required = Action.CHANGE_BLOCKS
    answers = {204: None}

    def perform(self, id: UUID, body: BlockTypeUpdate) -> None:
        update_block_type(block_type_id=id, changes=body.model_dump(exclude_unset=True), now=timezone.now())


class DeleteBlockType(Operation):
    """Delete a block type with its schemas and documents; one that is protected stays."""

    method = "DELETE"
    action_required = Action.CHANGE_BLOCKS
    answers = {204: None, 403: dict[str, str]}

    def perform(self, id: UUID) -> None:
        delete_block_type(block_type_id=id)


class FilterBlockTypes(Operation):
    """List block types by name."""

    method = "POST"
    action_required = Action.READ_BLOCKS
    answers = {200: list[BlockTypeOut]}
    body_optional = True

    def perform(self, body: BlockTypeListing) -> list[BlockTypeOut]:
        wanted = block_types_matching(body.block_types, body.block_schemas)
        return [
            block_type_out(one)
            for one in self.paginate_queryset(BlockType.objects.filter(wanted).order_by("name", "id"))
        ]


class InstallSystemBlockTypes(Operation):
    """Add the usual block types, where they are missing."""

    method = "POST"
    action_required = Action.CHANGE_BLOCKS
    answers = {200: None}

    def perform(self) -> None:
        install_builtin_block_types(now=timezone.now())


def block_type_out(block_type: BlockType) -> BlockTypeOut:
    return {
        "id": block_type.id,
        "created": block_type.created,
        "updated": block_type.updated,
        "name": block_type.name,
        "slug": block_type.slug,
        "logo_url": block_type.logo_url,
        "documentation_url": block_type.documentation_url,
        "description": block_type.description,
        "code_example": block_type.code_example,
        "is_protected": is_protected(block_type.slug),
    }


def _found(which: Q) -> BlockTypeOut:
    block_type = BlockType.objects.filter(which).first()
    if block_type is None:
        raise Missing("Block type")
    return block_type_out(block_type)
