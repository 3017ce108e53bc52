"""Results: values of runs, stored apart from their states, which only carry a reference.

A store takes bytes under a key. The server sees references and never the bytes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orionflow.contract.ids import uuid7
from orionflow.errors import MissingResult, UntrustedResult, UsageError
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
                file.flush()
                # Otherwise the name may outlive a power cut that the content does not.
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def read(self, key: str) -> bytes:
        path = self._path(key)
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise MissingResult(
                f"The stored result {path} is gone; run the task again with refresh_cache=True."
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


# Stores of other kinds, by what their references say; filled when such a store is first named in this process.
_known_stores: dict[str, ResultStore] = {}
# The folders that this program names in its code. A reference comes from the API, so it must not name a folder of its
# own: reading a pickle runs what its writer put there.
_named_folders: set[Path] = set()


def name_store(store: ResultStore) -> None:
    """Let references name this store: the program's code does."""
    if type(store) is LocalFileSystem:
        _named_folders.add(_plain_path(store))
    else:
        _known_stores[store.where] = store


def name_option(chosen: StoreOption) -> None:
    """Let references name the store of an option; one that cannot be used is refused where it is used."""
    with suppress(UsageError, AttributeError):
        if chosen is not None:
            name_store(store_of(chosen))


def _plain_path(folder: LocalFileSystem) -> Path:
    return Path(os.path.normpath(folder.basepath))


def _store_named_by_reference(where: str | None) -> ResultStore:
    """The store that a reference names, if this program reads from it. Raises UntrustedResult."""
    if where in _known_stores:
        return _known_stores[where]
    store = store_of(where)
    if not isinstance(store, LocalFileSystem):
        return store
    settings = current_settings()
    usual = {_plain_path(LocalFileSystem()), settings.home / "results", *map(Path, settings.results_read_from)}
    folder = _plain_path(store)
    if any(folder.is_relative_to(trusted) for trusted in usual | _named_folders):
        return LocalFileSystem(folder)
    raise UntrustedResult(
        f"The result is said to be in {folder}, from which this program does not read: no flow or task in it stores "
        "results there, and who can write to the API could have named any folder. If you trust what is in it, add it "
        "to ORION_RESULTS_READ_FROM."
    )


def write_result(
    value: Any, *, store: ResultStore, serializer: Serializer, key: str | None = None, **more: Any
) -> dict[str, Any]:
    """Store a value and return the reference to it. The smallest values are their own reference."""
    if any(value is literal for literal in _LITERALS) and key is None:
        return {"type": "literal", "value": value}
    key = key or uuid7().hex
    store.write(key, serializer.dumps(value))
    name_store(store)
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
    where, key, kind = record.get("storage"), record.get("storage_key"), record.get("serializer_type")
    if not (isinstance(key, str) and isinstance(where, str | None) and isinstance(kind, str | None)):
        raise MissingResult("The reference to the stored result is damaged.")
    store = _store_named_by_reference(where)
    try:
        return serializer_of(kind).loads(store.read(key))
    except MissingResult:
        raise
    except Exception as error:
        raise MissingResult(
            f"The stored result {key!r} in {store.where} cannot be read ({type(error).__name__}: {error}); "
            "run the task again with refresh_cache=True."
        ) from error
