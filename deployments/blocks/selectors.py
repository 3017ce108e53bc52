"""Read blocks with their types, schemas and the blocks that they refer to, and the variables that templates name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from deployments.definitions.core.hydration import variables_named
from deployments.models import BlockDocument, BlockReference, BlockSchema, Variable


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


def variables_for(value: Any) -> dict[str, str]:
    """The values of the variables that templates in `value` name; those that do not exist are left out."""
    names = set(variables_named(value))
    return dict(Variable.objects.filter(name__in=names).values_list("name", "value")) if names else {}
