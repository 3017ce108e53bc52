"""Block types and schemas that the server installs itself, before any program registers one."""

from __future__ import annotations

from datetime import datetime

from deployments.blocks.core.blocks import checksum_of
from deployments.blocks.core.builtin_schemas import SCHEMAS, VERSION, fields_of
from deployments.blocks.core.builtin_types import BUILTIN
from deployments.models import BlockSchema, BlockType
from orchestration.transactions import repeated_on_conflict, write_transaction


@repeated_on_conflict
def install_builtin_block_types(*, now: datetime) -> None:
    """Add the missing ones; existing types stay as programs registered them."""
    with write_transaction():
        there = set(BlockType.objects.filter(slug__in=BUILTIN).values_list("slug", flat=True))
        BlockType.objects.bulk_create(
            [
                BlockType(slug=slug, name=name, description=description, created=now)
                for slug, (name, description) in BUILTIN.items()
                if slug not in there
            ]
        )
        _install_schemas(now)


def _install_schemas(now: datetime) -> None:
    types = {one.slug: one for one in BlockType.objects.filter(slug__in=SCHEMAS)}
    wanted = {slug: fields_of(slug, BUILTIN[slug][0]) for slug in types}
    there = set(BlockSchema.objects.filter(version=VERSION).values_list("checksum", flat=True))
    BlockSchema.objects.bulk_create(
        [
            BlockSchema(
                block_type=types[slug],
                checksum=checksum,
                version=VERSION,
                fields=fields,
                capabilities=sorted(SCHEMAS[slug][0]),
                created=now,
            )
            for slug, fields in wanted.items()
            if (checksum := checksum_of(fields)) not in there
        ]
    )
