"""Blocks and policies for tests, stored as a client stores them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from deployments.blocks.services.blocks import NewBlockDocument, create_block_document, create_block_schema
from deployments.models import BlockType
from events.models import NotificationPolicy
from events.notifications.services.policies import create_policy
from tests.factories import NOON


def make_block(slug: str, content: dict[str, Any], secret: tuple[str, ...] = ("url",), now: datetime = NOON) -> UUID:
    """A block whose secret fields are sealed; its id."""
    block_type, _ = BlockType.objects.get_or_create(slug=slug, defaults={"name": slug.title()})
    fields = {"title": slug, "secret_fields": list(secret), "block_type_slug": slug}
    schema, _ = create_block_schema(block_type_id=block_type.pk, fields=fields, capabilities=[], version="1", now=now)
    new = NewBlockDocument(name=None, content=content, block_type_id=block_type.pk, block_schema_id=schema.pk)
    document: UUID = create_block_document(new=new, now=now).pk
    return document


def make_policy(block: UUID, *, states: list[str] | None = None, **columns: Any) -> NotificationPolicy:
    given = {"state_names": states or [], "tags": [], **columns}
    return create_policy(columns={"block_document_id": block, **given}, now=NOON)
