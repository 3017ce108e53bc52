"""The block types that nearly every program uses, so that they can be looked up before one has made them known."""

from __future__ import annotations

from datetime import datetime

from deployments.models import BlockType
from orchestration.transactions import repeated_on_conflict, write_transaction

KNOWN = {
    "date-time": ("Date Time", "A moment with its time zone."),
    "json": ("JSON", "Any value that JSON can hold."),
    "local-file-system": ("Local File System", "Files below a folder of the machine that runs the flow."),
    "process": ("Process", "Runs a flow in a process of its own on the same machine."),
    "remote-file-system": ("Remote File System", "Files on anything that fsspec can reach by an address."),
    "secret": ("Secret", "A text that is stored sealed and shown masked."),
    "string": ("String", "A text."),
    "webhook": ("Webhook", "An address that is called over HTTP."),
}


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
