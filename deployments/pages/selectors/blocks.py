"""Blocks by type, one block with its references, and the types of which blocks can be created."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet

from deployments.blocks.core.blocks import secret_paths
from deployments.models import BlockDocument, BlockReference, BlockSchema, BlockType, Deployment

BLOCKS_PER_PAGE = 100
CHOICES = 300
LOCATION_TYPE = "result-location"


@dataclass(frozen=True, slots=True)
class BlocksPage:
    """Blocks with a name, by type and name, and the types for the filter."""

    rows: Sequence[BlockDocument]
    types: Sequence[BlockType]
    after: str


@dataclass(frozen=True, slots=True)
class BlockPage:
    document: BlockDocument
    references: Sequence[BlockReference]
    used_by: Sequence[BlockReference]
    secret: frozenset[str]
    # Whether it is a location of results, and the deployments that use it.
    is_location: bool = False
    stored_by: Sequence[Deployment] = ()


def blocks_page(*, name: str, slug: str, after: str) -> BlocksPage:
    """Return a page of blocks, with at most three queries. The next page starts after the block with the given id."""
    rows = named_blocks().select_related("block_type").defer("content", "sealed")
    if name:
        rows = rows.filter(name__icontains=name)
    if slug:
        rows = rows.filter(block_type__slug=slug)
    last = _block(after)
    if last is not None:
        kind, own = last.block_type.slug, last.name
        rows = rows.filter(Q(block_type__slug__gt=kind) | Q(block_type__slug=kind, name__gt=own))
    found = list(rows.order_by("block_type__slug", "name")[: BLOCKS_PER_PAGE + 1])
    used = BlockType.objects.filter(documents__is_anonymous=False).distinct().only("name", "slug")
    shown = found[:BLOCKS_PER_PAGE]
    more = str(shown[-1].pk) if len(found) > BLOCKS_PER_PAGE else ""
    return BlocksPage(shown, list(used.order_by("name")[:CHOICES]), more)


def _block(text: str) -> BlockDocument | None:
    try:
        return BlockDocument.objects.select_related("block_type").filter(pk=UUID(text)).first() if text else None
    except ValueError:
        return None


def named_blocks() -> QuerySet[BlockDocument]:
    """Return blocks without anonymous ones, which programs create for themselves."""
    return BlockDocument.objects.filter(is_anonymous=False)


def block_page(block_id: UUID) -> BlockPage | None:
    document = BlockDocument.objects.select_related("block_type", "block_schema").filter(pk=block_id).first()
    if document is None:
        return None
    references = BlockReference.objects.select_related("document__block_type").filter(parent=document).order_by("name")
    users = BlockReference.objects.select_related("parent__block_type").filter(document=document)
    secret = frozenset(path[0] for path in secret_paths(document.block_schema.fields))
    is_location = document.block_type.slug == LOCATION_TYPE
    storing = (
        Deployment.objects.select_related("flow").filter(result_storage=document.name).order_by("flow__name", "name")
    )
    stored_by = list(storing[:CHOICES]) if is_location else []
    return BlockPage(document, list(references), list(users[:CHOICES]), secret, is_location, stored_by)


def types_to_make() -> list[BlockType]:
    """Return the types whose fields are known, by name."""
    return list(BlockType.objects.filter(schemas__isnull=False).distinct().order_by("name")[:CHOICES])


def newest_schema(slug: str) -> BlockSchema | None:
    """Return the last schema that was registered for the type."""
    newest = BlockSchema.objects.select_related("block_type").filter(block_type__slug=slug)
    return newest.order_by("-created", "-pk").first()


def nested_choices(fields: Mapping[str, Sequence[str]]) -> dict[str, list[tuple[str, str]]]:
    """Return, by field, the blocks of the types that it accepts, with one query."""
    slugs = {slug for several in fields.values() for slug in several}
    rows = named_blocks().filter(block_type__slug__in=slugs).values_list("pk", "name", "block_type__slug")
    found = list(rows.order_by("name")[:CHOICES]) if slugs else []
    return {name: [(str(pk), own) for pk, own, kind in found if kind in several] for name, several in fields.items()}
