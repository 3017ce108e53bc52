"""Block types, their schemas and documents. Secrets are stored sealed and shown masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from deployments.blocks.core.blocks import (
    checksum_of,
    hidden_paths,
    hidden_values,
    masked,
    named_secrets,
    secret_paths,
    split_references,
    with_secrets_kept,
)
from deployments.blocks.core.builtin_types import is_protected
from deployments.blocks.services.encryption import Unopenable, key_file, open_sealed, seal
from deployments.errors import (
    BadBlockReference,
    BlockDocumentExists,
    BlockDocumentNotFound,
    BlockHoldsItself,
    BlockSchemaNotFound,
    BlockSchemaProtected,
    BlockTypeExists,
    BlockTypeNotFound,
    BlockTypeProtected,
    SchemaOfAnotherType,
    SecretsUnreadable,
)
from deployments.models import BlockDocument, BlockReference, BlockSchema, BlockType
from orchestration.new_names import refuse_deceptive
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.ids import uuid7
from orionflow.contract.masking import known

WRITTEN = ["content", "sealed", "block_schema", "updated"]
# An arbitrary number, which must not change.
_REFERENCE_LOCK = 0x0A0B10


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBlockDocument:
    """A block to be stored. Without a name it is anonymous, and a name is generated."""

    name: str | None
    content: Mapping[str, Any]
    block_type_id: UUID
    block_schema_id: UUID
    is_anonymous: bool = False


@repeated_on_conflict
def create_block_type(*, columns: Mapping[str, Any], now: datetime) -> BlockType:
    with write_transaction():
        if BlockType.objects.filter(slug=columns["slug"]).exists():
            raise BlockTypeExists(slug=columns["slug"])
        refuse_deceptive(columns["name"])
        block_type = BlockType(**columns, created=now)
        block_type.save(force_insert=True)
        return block_type


def update_block_type(*, block_type_id: UUID, changes: Mapping[str, Any], now: datetime) -> None:
    with write_transaction():
        if not BlockType.objects.filter(pk=block_type_id).update(**changes, updated=now):
            raise BlockTypeNotFound(id=block_type_id)


def delete_block_type(*, block_type_id: UUID) -> None:
    """Delete a block type with its schemas and documents. Raises BlockTypeNotFound and BlockTypeProtected."""
    with write_transaction():
        block_type = BlockType.objects.select_for_update().filter(pk=block_type_id).first()
        if block_type is None:
            raise BlockTypeNotFound(id=block_type_id)
        if is_protected(block_type.slug):
            raise BlockTypeProtected
        block_type.delete()


@repeated_on_conflict
def create_block_schema(
    *, block_type_id: UUID, fields: Mapping[str, Any], capabilities: Sequence[str], version: str, now: datetime
) -> tuple[BlockSchema, bool]:
    """Return the schema with these fields in this version, and whether it is new. Raises BlockTypeNotFound.

    The checksum does not depend on which fields are secret. A field is secret if any client has declared it so.
    """
    checksum = checksum_of(fields)
    with write_transaction():
        known = BlockSchema.objects.select_related("block_type").filter(checksum=checksum, version=version).first()
        if known is not None:
            _keep_secret(known, named_secrets(fields), now)
            return known, False
        block_type = BlockType.objects.filter(pk=block_type_id).first()
        if block_type is None:
            raise BlockTypeNotFound(id=block_type_id)
        schema = BlockSchema(block_type=block_type, checksum=checksum, version=version, created=now)
        schema.fields, schema.capabilities = dict(fields), sorted(set(capabilities))
        schema.save(force_insert=True)
        return schema, True


def _keep_secret(schema: BlockSchema, named: Sequence[str], now: datetime) -> None:
    """Hide more fields of a schema, in existing documents as well."""
    more = [path for path in named if path not in named_secrets(schema.fields)]
    if not more:
        return
    schema.fields = {**schema.fields, "secret_fields": [*named_secrets(schema.fields), *more]}
    schema.updated = now
    schema.save(update_fields=["fields", "updated"])
    # In one order, as two requests may hide fields of a schema at the same time.
    for document in BlockDocument.objects.select_for_update(no_key=True).filter(block_schema=schema).order_by("pk"):
        shown = masked(document.content, secret_paths(schema.fields))
        if shown != document.content:
            # A sealed document already contains everything, and no key is needed to keep it.
            document.sealed = document.sealed or seal(document.content)
            document.content, document.updated = shown, now
            document.save(update_fields=["content", "sealed", "updated"])


def delete_block_schema(*, block_schema_id: UUID) -> None:
    """Delete a schema with its documents. Raises BlockSchemaNotFound and BlockSchemaProtected."""
    with write_transaction():
        schema = BlockSchema.objects.select_related("block_type").filter(pk=block_schema_id).first()
        if schema is None:
            raise BlockSchemaNotFound(id=block_schema_id)
        if is_protected(schema.block_type.slug):
            raise BlockSchemaProtected(slug=schema.block_type.slug)
        schema.delete()


@repeated_on_conflict
def create_block_document(*, new: NewBlockDocument, now: datetime) -> BlockDocument:
    """Store a block, with its secrets sealed.

    Raises BlockSchemaNotFound, SchemaOfAnotherType, BlockDocumentExists, BadBlockReference, and BlockDocumentNotFound
    for a block that it refers to.
    """
    with write_transaction():
        schema = _schema(new.block_schema_id, new.block_type_id)
        document = BlockDocument(id=uuid7(), block_type_id=new.block_type_id, created=now)
        document.name = new.name or f"anonymous-{document.id}"
        document.is_anonymous = new.is_anonymous
        if BlockDocument.objects.filter(block_type_id=new.block_type_id, name=document.name).exists():
            raise BlockDocumentExists(name=document.name)
        content, references = _split(new.content)
        _fill(document, content, secret_paths(schema.fields))
        document.block_schema = schema
        document.save(force_insert=True)
        _refer(document, references)
        return document


@repeated_on_conflict
def update_block_document(
    *, document_id: UUID, content: Mapping[str, Any] | None, merge: bool, block_schema_id: UUID | None, now: datetime
) -> None:
    """Replace the block's content, or with `merge` only the given fields.

    A secret that is sent back masked stays unchanged. A field that was secret stays secret with any other schema: the
    right to change blocks must not become a way to read them.
    """
    with write_transaction():
        document = _locked(document_id)
        schema = _schema(block_schema_id or document.block_schema_id, document.block_type_id)
        given, references = _split(content or {})
        whole = opened(document)
        kept = with_secrets_kept(given, document.content, whole)
        replaces = content is not None and not merge
        unchanged = {} if replaces else {name: value for name, value in whole.items() if name not in references}
        secret = [*secret_paths(schema.fields), *hidden_paths(document.content, whole)]
        _fill(document, {**unchanged, **kept}, secret)
        document.block_schema = schema
        document.updated = now
        document.save(update_fields=WRITTEN)
        overwritten = {} if replaces else {"name__in": [*given, *references]}
        BlockReference.objects.filter(parent=document, **overwritten).delete()
        _refer(document, references)


def delete_block_document(*, document_id: UUID) -> None:
    with write_transaction():
        deleted, _ = BlockDocument.objects.filter(pk=document_id).delete()
        if not deleted:
            raise BlockDocumentNotFound(id=document_id)


def opened(document: BlockDocument) -> dict[str, Any]:
    """Return the document's own content with its secrets in clear text. Raises SecretsUnreadable."""
    if document.sealed is None:
        return dict(document.content)
    try:
        whole = open_sealed(document.sealed)
    except Unopenable:
        raise SecretsUnreadable(id=document.pk, file=key_file()) from None
    # The reader may include them in its next report, so learn them for masking.
    known.learn(hidden_values(document.content, whole))
    return whole


def _fill(document: BlockDocument, content: dict[str, Any], secret: Sequence[Sequence[str]]) -> None:
    document.content = masked(content, secret)
    document.sealed = seal(content) if document.content != content else None
    known.learn(hidden_values(document.content, content))


def _split(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, UUID]]:
    try:
        plain, references = split_references(content)
        return plain, {name: UUID(target) for name, target in references.items()}
    except ValueError as error:
        raise BadBlockReference(reason=str(error)) from None


def _schema(schema_id: UUID, block_type_id: UUID) -> BlockSchema:
    schema = BlockSchema.objects.filter(pk=schema_id).first()
    if schema is None:
        raise BlockSchemaNotFound(id=schema_id)
    if schema.block_type_id != block_type_id:
        raise SchemaOfAnotherType(id=schema_id)
    return schema


def _locked(document_id: UUID) -> BlockDocument:
    # Its content is read, merged and written back: without the lock, one of two changes could be lost.
    document = BlockDocument.objects.select_for_update(no_key=True).filter(pk=document_id).first()
    if document is None:
        raise BlockDocumentNotFound(id=document_id)
    return document


def _refer(parent: BlockDocument, references: Mapping[str, UUID]) -> None:
    if not references:
        return
    known = set(BlockDocument.objects.filter(pk__in=references.values()).values_list("pk", flat=True))
    for target in references.values():
        if target not in known:
            raise BlockDocumentNotFound(id=target)
    _wait_for_other_references()
    _refuse_circle(parent, known)
    BlockReference.objects.bulk_create(
        [BlockReference(parent=parent, name=name, document_id=target) for name, target in references.items()]
    )


def _wait_for_other_references() -> None:
    """Let one transaction at a time add references: two that do not see each other could close a circle."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_REFERENCE_LOCK])


def _refuse_circle(parent: BlockDocument, below: set[UUID]) -> None:
    """Refuse references that lead back to the parent: reading it would never end."""
    seen: set[UUID] = set()
    while below:
        if parent.pk in below:
            raise BlockHoldsItself(id=parent.pk)
        seen |= below
        further = BlockReference.objects.filter(parent__in=below).values_list("document_id", flat=True)
        below = set(further) - seen
