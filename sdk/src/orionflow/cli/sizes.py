"""Sizes as people write them: 512M, 2G, 1.5GiB."""

from __future__ import annotations

import re

import click

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:I?B)?\s*$", re.IGNORECASE)


def read_bytes(text: str) -> int:
    """The number of bytes; raises a usage error for what is no size."""
    found = _SIZE.match(text)
    if found is None:
        raise click.UsageError(f"{text!r} is not a size; write 512M or 2G.")
    return int(float(found[1]) * UNITS[found[2].upper()])
