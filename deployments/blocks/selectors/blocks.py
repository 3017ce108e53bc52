"""Blocks with everything that answers and pages tell of them: their types, schemas and the blocks that they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db.models import QuerySet

from deployments.models import BlockDocument, BlockReference, BlockSchema


def block_documents() -> QuerySet[BlockDocument]:
    return BlockDocument.objects.select_related("block_type", "block_schema__block_type")


def references_below(documents: Sequence[BlockDocument]) -> Mapping[UUID, list[BlockReference]]:
    """The references of these documents, of those that they refer to, and so on; one query for each level."""
    found: dict[UUID, list[BlockReference]] = {}
    level = {document.pk for document in documents}
    while level:
        found.update({parent: [] for parent in level})
        below = BlockReference.objects.filter(parent__in=level).select_related("document__block_type").order_by("name")
        for reference in below:
            found[reference.parent_id].append(reference)
        level = {reference.document_id for reference in below} - found.keys()
    return found


def block_capabilities() -> list[str]:
    """Every capability that some schema has."""
    lists = BlockSchema.objects.values_list("capabilities", flat=True).distinct()
    return sorted({capability for capabilities in lists for capability in capabilities})
