"""Block types that can be looked up and listed before any program has made them known."""

from __future__ import annotations

from datetime import datetime

from deployments.core.known_blocks import KNOWN
from deployments.models import BlockType
from orchestration.transactions import repeated_on_conflict, write_transaction


@repeated_on_conflict
def install_known_block_types(*, now: datetime) -> None:
    """Add those that are missing; what programs said about the others stays."""
    with write_transaction():
        there = set(BlockType.objects.filter(slug__in=KNOWN).values_list("slug", flat=True))
        BlockType.objects.bulk_create(
            [
                BlockType(slug=slug, name=name, description=description, created=now)
                for slug, (name, description) in KNOWN.items()
                if slug not in there
            ]
        )
