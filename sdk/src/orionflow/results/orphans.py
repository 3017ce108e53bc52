"""Orphaned results: files that Orion stored under generated keys some time ago, and that no run refers to."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orionflow.contract.result_keys import MADE_BY_US
from orionflow.results.locations import LocatedStore, RemoteFolder
from orionflow.results.stores import LocalFileSystem, ResultStore

# A younger file may belong to a run that has not reported its end yet.
YOUNGEST_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Orphan:
    key: str
    size: int


def orphans_in(store: ResultStore, known: Collection[str]) -> Iterator[Orphan]:
    """Yield the results in a folder or a location whose keys are not among the known ones."""
    for key, size, written in _files(store.inner if isinstance(store, LocatedStore) else store):
        if MADE_BY_US.fullmatch(key) and key not in known and time.time() - written > YOUNGEST_SECONDS:
            yield Orphan(key, size)


def _files(store: ResultStore) -> Iterator[tuple[str, int, float]]:
    if isinstance(store, LocalFileSystem) and store.basepath.is_dir():
        for path in store.basepath.iterdir():
            if path.is_file() and not path.is_symlink():
                found = path.stat()
                yield path.name, found.st_size, found.st_mtime
    elif isinstance(store, RemoteFolder):
        for key, entry in store.files():
            yield key, int(entry.get("size") or 0), _moment(entry)


def _moment(entry: dict[str, Any]) -> float:
    """Return when a file was written, by any of the names that file systems use; the current time if none is known."""
    for name in ("LastModified", "last_modified", "mtime", "updated", "created"):
        match entry.get(name):
            case datetime() as at:
                return at.timestamp()
            case int() | float() as seconds:
                return float(seconds)
            case str() as text:
                try:
                    return datetime.fromisoformat(text).timestamp()
                except ValueError:
                    continue
    return time.time()
