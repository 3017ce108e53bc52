"""Results: values of runs, stored apart from their states, which only carry a reference.

A store takes bytes under a key. The server sees references and never the bytes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orionflow.errors import MissingResult, UsageError
from orionflow.ids import uuid7
from orionflow.private_files import make_private_folder, private_opener
from orionflow.serializers import Serializer, serializer_of
from orionflow.settings import current_settings
from orionflow.states import NOT_KEPT

UNPERSISTED: dict[str, Any] = {"type": "unpersisted"}
_LITERALS = (None, True, False)


class ResultStore(Protocol):
    """Where results are kept. `where` goes into references, so that any process finds the store again."""

    @property
    def where(self) -> str: ...

    def write(self, key: str, content: bytes) -> None: ...

    def read(self, key: str) -> bytes: ...

    def exists(self, key: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class LocalFileSystem:
    """A folder of files. Without a path: `results` in ORION_HOME, or what ORION_RESULTS_PATH says."""

    basepath: Path

    def __init__(self, basepath: str | Path | None = None) -> None:
        settings = current_settings()
        path = basepath or settings.results_path or settings.home / "results"
        object.__setattr__(self, "basepath", Path(path).expanduser().absolute())

    @property
    def where(self) -> str:
        return self.basepath.as_uri()

    def write(self, key: str, content: bytes) -> None:
        path = self._path(key)
        make_private_folder(path.parent)
        # Whoever reads at the same moment finds the old file or the new one, never half of one.
        draft = path.with_name(f".{path.name}.{uuid7().hex}")
        try:
            with open(draft, "wb", opener=private_opener) as file:
                file.write(content)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def read(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise MissingResult(
                f"The stored result {self._path(key)} is gone; run the task again with refresh_cache=True."
            ) from error

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def _path(self, key: str) -> Path:
        path = Path(os.path.normpath(self.basepath / key))
        if not path.is_relative_to(self.basepath) or path == self.basepath:
            raise UsageError(f"The result_storage_key {key!r} leads out of {self.basepath}; use a relative path.")
        return path


StoreOption = ResultStore | str | Path | None


def store_of(chosen: StoreOption) -> ResultStore:
    """The store that an option names: a store, a folder, or nothing for the usual one."""
    if chosen is None:
        return LocalFileSystem()
    if isinstance(chosen, Path):
        return LocalFileSystem(chosen)
    if isinstance(chosen, str):
        return _from_text(chosen)
    return chosen


def _from_text(where: str) -> ResultStore:
    if where.startswith("file://"):
        from urllib.parse import unquote, urlsplit

        return LocalFileSystem(unquote(urlsplit(where).path))
    if "://" in where:
        raise UsageError(f"Results cannot be stored at {where!r}; give a folder, or an object with write and read.")
    return LocalFileSystem(where)


# Stores of other kinds, by what their references say; filled when such a store is first used in this process.
_known_stores: dict[str, ResultStore] = {}


def write_result(
    value: Any, *, store: ResultStore, serializer: Serializer, key: str | None = None, **more: Any
) -> dict[str, Any]:
    """Store a value and return the reference to it. The smallest values are their own reference."""
    if any(value is literal for literal in _LITERALS) and key is None:
        return {"type": "literal", "value": value}
    key = key or uuid7().hex
    store.write(key, serializer.dumps(value))
    if not isinstance(store, LocalFileSystem):
        _known_stores[store.where] = store
    reference = {"type": "reference", "storage_key": key, "storage": store.where, "serializer_type": serializer.type}
    return {**reference, **more}


def read_record(record: dict[str, Any]) -> Any:
    """The value that the data of a state tells about."""
    match record["type"]:
        case "literal":
            return record.get("value")
        case "reference":
            return _read_reference(record)
    raise MissingResult(NOT_KEPT)


def _read_reference(record: dict[str, Any]) -> Any:
    where = record.get("storage")
    store = _known_stores.get(where or "") or store_of(where)
    return serializer_of(record.get("serializer_type")).loads(store.read(record["storage_key"]))
