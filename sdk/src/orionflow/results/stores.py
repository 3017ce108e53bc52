"""Where results are kept, and from where this program reads them.

A reference comes from the API, so it must not name a folder of its own: only what the program itself names, and what
its settings list, is read.
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
        path = basepath or _usual_folder(current_settings())
        object.__setattr__(self, "basepath", Path(os.path.normpath(Path(path).expanduser().absolute())))

    @property
    def where(self) -> str:
        return self.basepath.as_uri()

    def write(self, key: str, content: bytes) -> None:
        path = self._path(key)
        # Whoever reads at the same moment finds the old file or the new one, never half of one.
        draft = path.with_name(f".{path.name}.{uuid7().hex}")
        try:
            with _opened(draft) as file:
                _write_all(file, content)
                # Otherwise the name may outlive a power cut that the content does not.
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
        """Remove a result; one that is gone already is no fault."""
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
        # Only then, as looking at each folder above takes as long as all the rest.
        make_private_folder(draft.parent)
        return open(draft, "wb", buffering=0, opener=private_opener)


def _write_all(file: RawIOBase, content: bytes) -> None:
    left = memoryview(content)
    while left:
        # The system takes 2 GiB at once, or what a disk has room for.
        left = left[file.write(left) or 0 :]


def leads_out(key: str, where: str) -> UsageError:
    return UsageError(f"The result_storage_key {key!r} leads out of {where}; use a relative path.")


def _usual_folder(settings: Settings) -> Path:
    return settings.results_path or settings.home / "results"


StoreOption = ResultStore | str | Path | None


def store_of(chosen: StoreOption) -> ResultStore:
    """Return the store that an option names: a store, a location, a folder, or nothing for the usual one."""
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


# Stores of other kinds, by what their references say; filled when such a store is first named in this process.
_known_stores: dict[str, ResultStore] = {}
# The folders that this program names in its code. A reference comes from the API, so it must not name a folder of its
# own: reading a pickle runs what its writer put there.
_named_folders: set[Path] = set()


def name_store(store: ResultStore) -> None:
    """Let references name this store: the program's code does."""
    if type(store) is LocalFileSystem:
        _named_folders.add(store.basepath)
    elif not store.where.startswith(LOCATION):
        _known_stores[store.where] = store


def name_option(chosen: StoreOption) -> None:
    """Let references name the store of an option; one that cannot be used is refused where it is used."""
    if isinstance(chosen, str) and NAME.fullmatch(chosen):
        # References to locations are followed without that, and a declaration must not ask the API.
        return
    with suppress(UsageError, AttributeError):
        if chosen is not None:
            name_store(store_of(chosen))


def store_named_by_reference(where: str | None) -> ResultStore:
    """Return the store that a reference names, if this program reads from it. Raise UntrustedResult."""
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
