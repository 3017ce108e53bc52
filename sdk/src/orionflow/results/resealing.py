"""Results that were stored before seals existed: found in a folder by their first bytes, and sealed in place."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from orionflow.contract.seals import is_sealed
from orionflow.results.sealing import sealed
from orionflow.results.stores import LocalFileSystem
from orionflow.serializers import COMPRESSED

# The first byte of a pickle of protocol 2 or later, and of a zlib stream.
_PICKLE, _ZLIB = b"\x80", b"\x78"
_LOOK = 1024


@dataclass(frozen=True, slots=True)
class Unsealed:
    """A file that a reference may name as a pickle."""

    key: str
    kind: str
    size: int


def unsealed_in(store: LocalFileSystem, *, looked_at: int | None = None) -> Iterator[Unsealed]:
    """Yield the pickles below a folder that have no seal. Links are ignored, as they may lead anywhere."""
    for path in islice(store.basepath.rglob("*"), looked_at):
        if path.is_file() and not path.is_symlink() and not path.name.startswith(".") and (kind := _kind_of(path)):
            yield Unsealed(path.relative_to(store.basepath).as_posix(), kind, path.stat().st_size)


def seal_in(store: LocalFileSystem, one: Unsealed) -> None:
    """Seal one result, unless it was sealed in the meantime."""
    content = store.read(one.key)
    if not is_sealed(content):
        store.write(one.key, sealed(content, where=store.where, key=one.key, kind=one.kind))


def _kind_of(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(_LOOK)
    if start.startswith(_PICKLE):
        return "pickle"
    if start.startswith(_ZLIB):
        try:
            inner = zlib.decompressobj().decompress(start, 1)
        except zlib.error:
            return None
        return f"{COMPRESSED}pickle" if inner == _PICKLE else None
    return None
