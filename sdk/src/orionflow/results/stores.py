"""Stores of results, and the rules for which stores this program reads from.

A reference comes from the API, so it must not choose a folder: the program only reads from stores that its own code or
its settings name.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Protocol

from orionflow.contract.ids import uuid7
from orionflow.errors import MissingResult, UntrustedResult, UsageError
from orionflow.private_files import make_private_folder, private_opener
from orionflow.settings import Settings, current_settings
from orionflow.settings.locations import NAME

LOCATION = "location:"
_BLOCK_OF_PREFECT = re.compile(r"^(s3|gcs|azure|smb|local-file-system|remote-file-system)/[^/]+$")


class ResultStore(Protocol):
    """A store of results. `where` is written into references, so that any process finds the store again."""

    @property
    def where(self) -> str: ...

    def write(self, key: str, content: bytes) -> None: ...

    def read(self, key: str) -> bytes: ...

    def exists(self, key: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class LocalFileSystem:
    """A folder of files. The default path is ORION_RESULTS_PATH, or `results` in ORION_HOME."""

    basepath: Path

    def __init__(self, basepath: str | Path | None = None) -> None:
        path = basepath or _usual_folder(current_settings())
        object.__setattr__(self, "basepath", Path(os.path.normpath(Path(path).expanduser().absolute())))

    @property
    def where(self) -> str:
        return self.basepath.as_uri()

    def write(self, key: str, content: bytes) -> None:
        path = self._path(key)
        # A concurrent reader finds the old file or the new one, never a half-written one.
        draft = path.with_name(f".{path.name}.{uuid7().hex}")
        try:
            with _opened(draft) as file:
                _write_all(file, content)
                # Without this, the file name may survive a power failure that its content does not survive.
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise

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

    def delete(self, key: str) -> None:
        """Delete a result; it is not an error if it does not exist."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        path = Path(os.path.normpath(self.basepath / key))
        if not path.is_relative_to(self.basepath) or path == self.basepath:
            raise leads_out(key, str(self.basepath))
        return path


def _opened(draft: Path) -> RawIOBase:
    try:
        return open(draft, "wb", buffering=0, opener=private_opener)
    except FileNotFoundError:
        # The folder is created only now, as checking each parent folder first takes as long as the rest of the write.
        make_private_folder(draft.parent)
        return open(draft, "wb", buffering=0, opener=private_opener)


def _write_all(file: RawIOBase, content: bytes) -> None:
    left = memoryview(content)
    while left:
        # One call writes at most 2 GiB, or as much as fits on the disk.
        left = left[file.write(left) or 0 :]


def leads_out(key: str, where: str) -> UsageError:
    return UsageError(f"The result_storage_key {key!r} leads out of {where}; use a relative path.")


def _usual_folder(settings: Settings) -> Path:
    return settings.results_path or settings.home / "results"


StoreOption = ResultStore | str | Path | None


def store_of(chosen: StoreOption) -> ResultStore:
    """Return the store that an option names: a store, a location or a folder; by default the usual store."""
    if chosen is None:
        settings = current_settings()
        usual = settings.results_storage
        return LocalFileSystem(_usual_folder(settings)) if usual is None else _from_text(usual)
    if isinstance(chosen, Path):
        return LocalFileSystem(chosen)
    if isinstance(chosen, str):
        return _from_text(chosen)
    return chosen


def _from_text(where: str) -> ResultStore:
    from orionflow.results.locations import is_name, store_of_location

    if is_name(where):
        return store_of_location(where)
    if _BLOCK_OF_PREFECT.match(where):
        raise UsageError(
            f"{where!r} is how Prefect names a block; `orion result location add NAME URL` makes a location, which is "
            f"then the result_storage. A folder is written ./{where}."
        )
    if "://" in where and not where.startswith("file://"):
        raise UsageError(
            f"Results cannot be stored at {where!r} without a name: `orion result location add NAME {where}` gives it "
            "one, which is then the result_storage."
        )
    return LocalFileSystem(folder_of(where))


def folder_of(where: str) -> str:
    """Return the path of a folder that may be written as a file:// address."""
    if not where.startswith("file://"):
        return where
    from urllib.parse import unquote, urlsplit

    return unquote(urlsplit(where).path)


# Stores of other kinds by their `where`, added when the program first names one in this process.
_known_stores: dict[str, ResultStore] = {}
# Folders that this program names in its code. A reference comes from the API, so it must not choose a folder: reading a
# pickle runs code that its writer put there.
_named_folders: set[Path] = set()


def name_store(store: ResultStore) -> None:
    """Allow references to name this store, because the program's own code names it."""
    if type(store) is LocalFileSystem:
        _named_folders.add(store.basepath)
    elif not store.where.startswith(LOCATION):
        _known_stores[store.where] = store


def name_option(chosen: StoreOption) -> None:
    """Allow references to name the store of an option. An invalid option is refused where it is used."""
    if isinstance(chosen, str) and NAME.fullmatch(chosen):
        # References to locations need no permission, and a declaration must not send requests to the API.
        return
    with suppress(UsageError, AttributeError):
        if chosen is not None:
            name_store(store_of(chosen))


def store_named_by_reference(where: str | None) -> ResultStore:
    """Return the store that a reference names. Raise UntrustedResult if this program does not read from it."""
    if where in _known_stores:
        return _known_stores[where]
    if where is not None and where.startswith(LOCATION):
        from orionflow.results.locations import store_named_as

        return store_named_as(where)
    if where is not None and "://" in where and not where.startswith("file://"):
        raise UntrustedResult(
            f"The result is said to be at {where!r}, from which this program does not read: name a location of this "
            "address in ORION_RESULTS_LOCATIONS, or give the object that stores there as result_storage."
        )
    store = LocalFileSystem(None if where is None else folder_of(where))
    settings = current_settings()
    folder = store.basepath
    usual = {
        LocalFileSystem(_usual_folder(settings)).basepath,
        settings.home / "results",
        *map(Path, settings.results_read_from),
    }
    if any(folder.is_relative_to(trusted) for trusted in usual | _named_folders):
        return store
    raise UntrustedResult(
        f"The result is said to be in {folder}, from which this program does not read: no flow or task in it stores "
        "results there, and who can write to the API could have named any folder. If you trust what is in it, add it "
        "to ORION_RESULTS_READ_FROM."
    )
