"""Selectors for blocks with their types, schemas and references, and for the variables that templates name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from pydantic_core import PydanticCustomError

from deployments.definitions.core.hydration import BadTemplate, hydrated, variables_named
from deployments.models import BlockDocument, BlockReference, BlockSchema, Variable
from orchestration.authors import asking_user, refusal
from orionflow.contract.wire import storable


def block_documents() -> QuerySet[BlockDocument]:
    return BlockDocument.objects.select_related("block_type", "block_schema__block_type")


def references_below(documents: Sequence[BlockDocument]) -> Mapping[UUID, list[BlockReference]]:
    """Return the references of these documents, of those that they refer to, and so on; one query per level."""
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
    """Return every capability that a schema has."""
    lists = BlockSchema.objects.values_list("capabilities", flat=True).distinct()
    return sorted({capability for capabilities in lists for capability in capabilities})


def filled_in(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with their templates filled in. Raises BadTemplate, also if the result cannot be stored."""
    plain = dict(values)
    try:
        filled: dict[str, Any] = storable(hydrated(plain, variables_for(plain)))
    except PydanticCustomError as error:
        raise BadTemplate(f"{error}.") from None
    return filled


def variables_for(value: Any) -> dict[str, str]:
    """Return the values of the variables that templates in `value` name; variables that do not exist are left out."""
    names = set(variables_named(value))
    # Inside a write transaction all rows are visible, but filled-in values are shown to the user, so check the right
    # here.
    if names and (reason := refusal(asking_user(), "variables.read")):
        raise BadTemplate(f"A variable is not for you to read: {reason}")
    return dict(Variable.objects.filter(name__in=names).values_list("name", "value")) if names else {}
