"""Block documents: filled-in blocks. Secrets are included only on request, and only for users who may read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from rest_framework.response import Response

from deployments.blocks.api.block_schemas import block_schema_out
from deployments.blocks.api.block_types import block_type_out
from deployments.blocks.selectors import block_documents, references_below
from deployments.blocks.services.blocks import (
    NewBlockDocument,
    create_block_document,
    delete_block_document,
    opened,
    update_block_document,
)
from deployments.blocks.services.secrets_of_runs import why_not_for_run
from deployments.errors import SecretNotDeclared
from deployments.filters import (
    BLOCK_ORDERS,
    BlockDocumentFilter,
    BlockDocumentSort,
    BlockSchemaFilter,
    BlockTypeFilter,
)
from deployments.models import BlockDocument, BlockReference, BlockSchema, BlockType
from orchestration.acts import Note
from orchestration.api.answers import as_answer
from orchestration.api.errors import Missing, existing
from orchestration.api.operations import Operation
from orchestration.api.pagination import Page
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, DenyUndeclared, may
from orion_site.audit.entrances import record_reading, record_refusal
from orionflow.contract import blocks as contract
from orionflow.contract.wire import Wire
from runs.lists.filters.conditions import matched


class BlockDocumentSearch(Wire):
    block_documents: BlockDocumentFilter | None = None
    block_types: BlockTypeFilter | None = None
    block_schemas: BlockSchemaFilter | None = None


class BlockDocumentListing(BlockDocumentSearch, Page):
    include_secrets: bool = False
    sort: BlockDocumentSort = BlockDocumentSort.NAME_ASC


class BlockOperation(Operation):
    """The base of the operations on blocks. Reading secrets needs a right of its own."""

    def answered(self, documents: Sequence[BlockDocument], include_secrets: bool) -> list[dict[str, Any]]:
        if include_secrets and not may(self.request.user, Action.READ_SECRETS):
            raise PermissionDenied(DenyUndeclared.message)
        if not include_secrets:
            return documents_out(documents, include_secrets)
        below = references_below(documents)
        self.refuse_to_run(documents, below)
        shown = [*documents, *(one.document for references in below.values() for one in references)]
        if notes := [Note("block", one.pk, name=one.name) for one in shown if one.sealed is not None]:
            record_reading(self.request, Action.READ_SECRETS, type(self).__name__, notes)
        return [_out(document, below, include_secrets) for document in documents]

    def refuse_to_run(self, documents: Sequence[BlockDocument], below: Below) -> None:
        """Refuse secrets that the run whose token was sent may not read. Raises SecretNotDeclared."""
        run_id = self.request.user.run_id
        if run_id is not None and (reason := why_not_for_run(run_id, documents, below)):
            record_refusal(self.request, Action.READ_SECRETS, type(self).__name__, self.kwargs, reason)
            raise SecretNotDeclared(reason=reason)

    def answered_one(self, which: Q, include_secrets: bool) -> dict[str, Any]:
        document = existing(block_documents().filter(which).first(), "Block document")
        return self.answered([document], include_secrets)[0]


class CreateBlockDocument(BlockOperation):
    """Create a block."""

    method = "POST"
    action_required = Action.CHANGE_BLOCKS
    answers = {201: contract.BlockDocument}
    missing = 409

    def perform(self, body: contract.BlockDocumentCreate) -> Response:
        new = NewBlockDocument(
            name=body.name,
            content=body.data,
            block_type_id=body.block_type_id,
            block_schema_id=body.block_schema_id,
            is_anonymous=body.is_anonymous,
        )
        document = create_block_document(new=new, now=current_time())
        return Response(self.answered_one(Q(pk=document.pk), include_secrets=False), status=201)


class ReadBlockDocument(BlockOperation):
    """Read a block."""

    method = "GET"
    action_required = Action.READ_BLOCKS
    odd_id = 404
    answers = {200: contract.BlockDocument}

    def perform(self, id: UUID, query: contract.SecretsQuery) -> dict[str, Any]:
        return self.answered_one(Q(pk=id), query.include_secrets)


class ReadBlockDocumentByName(BlockOperation):
    """Read a block by its type and its name."""

    method = "GET"
    action_required = Action.READ_BLOCKS
    answers = {200: contract.BlockDocument}

    def perform(self, slug: str, name: str, query: contract.SecretsQuery) -> dict[str, Any]:
        return self.answered_one(Q(block_type__slug=slug, name=name), query.include_secrets)


class ReadBlockDocumentsOfType(BlockOperation):
    """List the blocks of a type by name, without anonymous ones."""

    method = "GET"
    action_required = Action.READ_BLOCKS
    answers = {200: list[contract.BlockDocument]}

    def perform(self, slug: str, query: contract.SecretsQuery) -> list[dict[str, Any]]:
        if not BlockType.objects.filter(slug=slug).exists():
            raise Missing("Block type")
        found = block_documents().filter(block_type__slug=slug, is_anonymous=False).order_by("name")
        return self.answered(list(found), query.include_secrets)


class UpdateBlockDocument(BlockOperation):
    """Replace the fields of a block, or change some of them. A secret that is sent back masked stays as it was."""

    method = "PATCH"
    action_required = Action.CHANGE_BLOCKS
    odd_id = 404
    answers = {204: None}

    def perform(self, id: UUID, body: contract.BlockDocumentUpdate) -> None:
        update_block_document(
            document_id=id,
            content=body.data,
            merge=body.merge_existing_data,
            block_schema_id=body.block_schema_id,
            now=current_time(),
        )


class DeleteBlockDocument(BlockOperation):
    """Delete a block and the references to it."""

    method = "DELETE"
    action_required = Action.CHANGE_BLOCKS
    odd_id = 404
    answers = {204: None}

    def perform(self, id: UUID) -> None:
        delete_block_document(document_id=id)


class FilterBlockDocuments(BlockOperation):
    """List blocks."""

    method = "POST"
    action_required = Action.READ_BLOCKS
    answers = {200: list[contract.BlockDocument]}
    body_optional = True

    def perform(self, body: BlockDocumentListing) -> list[dict[str, Any]]:
        found = self.paginate_queryset(_matching(body).order_by(*BLOCK_ORDERS[body.sort]))
        return self.answered(found, body.include_secrets)


class CountBlockDocuments(BlockOperation):
    """Count blocks."""

    method = "POST"
    action_required = Action.READ_BLOCKS
    answers = {200: int}
    body_optional = True

    def perform(self, body: BlockDocumentSearch) -> int:
        return _matching(body).count()


def documents_out(documents: Sequence[BlockDocument], include_secrets: bool) -> list[dict[str, Any]]:
    below = references_below(documents)
    return [_out(document, below, include_secrets) for document in documents]


def _matching(search: BlockDocumentSearch) -> QuerySet[BlockDocument]:
    condition = matched(search.block_documents or BlockDocumentFilter())
    if search.block_types is not None:
        condition &= Q(block_type__in=BlockType.objects.filter(matched(search.block_types)).values("pk"))
    if search.block_schemas is not None:
        condition &= Q(block_schema__in=BlockSchema.objects.filter(matched(search.block_schemas)).values("pk"))
    return block_documents().filter(condition)


Below = Mapping[UUID, Sequence[BlockReference]]


def _out(document: BlockDocument, below: Below, include_secrets: bool) -> dict[str, Any]:
    return as_answer(
        contract.BlockDocument,
        document,
        data=_content(document, below, include_secrets),
        block_schema=block_schema_out(document.block_schema),
        block_type_name=document.block_type.name,
        block_type=block_type_out(document.block_type),
        block_document_references=_references(document, below),
    )


def _content(document: BlockDocument, below: Below, include_secrets: bool) -> dict[str, Any]:
    own = opened(document) if include_secrets else document.content
    held = {one.name: _content(one.document, below, include_secrets) for one in below[document.pk]}
    return {**own, **held}


def _references(document: BlockDocument, below: Below) -> dict[str, Any]:
    return {one.name: {"block_document": _brief(one.document, below)} for one in below[document.pk]}


def _brief(document: BlockDocument, below: Below) -> dict[str, Any]:
    return {
        "id": document.id,
        "name": document.name,
        "block_type": block_type_out(document.block_type),
        "is_anonymous": document.is_anonymous,
        "block_document_references": _references(document, below),
    }
