"""Named locations: `result_storage="lake"` stores results where ORION_RESULTS_LOCATIONS or a block on the server says.

A reference contains the name of the location and not its address. Each machine finds the address in its own settings,
and no program reads from an address that a user wrote into a state.
"""

from __future__ import annotations

import posixpath
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from orionflow.errors import ApiError, MissingResult, NotAllowed, NotFound, UntrustedResult, UsageError
from orionflow.results.stores import LOCATION, LocalFileSystem, ResultStore, folder_of, leads_out
from orionflow.settings import current_settings
from orionflow.settings.locations import NAME, Location, location

T = TypeVar("T")

BLOCK_TYPE = "result-location"
# Schemes that blocks may use: an author of blocks decides which services programs connect to.
OF_BLOCKS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "sftp", "ssh", "hdfs", "file", "memory"})
# Seconds for which an answer of the API about a location is cached: the first if it exists, the second if it does not.
FRESH_SECONDS, FRESH_NONE_SECONDS = 60.0, 5.0
GONE = "run the task again with refresh_cache=True."


def is_name(text: str) -> bool:
    return NAME.fullmatch(text) is not None


def store_of_location(name: str) -> ResultStore:
    """Return the store behind a name. Raise UsageError if neither the settings nor the server know it."""
    found = find_location(name)
    if found is None:
        known = ", ".join(one.name for one in current_settings().results_locations) or "none"
        raise UsageError(
            f"There is no location of results {name!r}: ORION_RESULTS_LOCATIONS has {known}, and the server has none "
            f"of this name. Add it with `orion result location add {name} URL`; a folder is written ./{name}."
        )
    return _opened(found)


def store_named_as(where: str) -> ResultStore:
    """Return the store that a reference to a location names. Raise UntrustedResult if the location is unknown."""
    name = where.removeprefix(LOCATION)
    found = find_location(name) if is_name(name) else None
    if found is None:
        raise UntrustedResult(
            f"The result is said to be in the location {name!r}, which is neither in ORION_RESULTS_LOCATIONS here nor "
            "on the server. `orion result location ls` shows those that are."
        )
    return _opened(found)


def find_location(name: str) -> Location | None:
    """Look a name up in the settings, or else on the server."""
    own = (one for one in current_settings().results_locations if one.name == name)
    return next(own, None) or _on_the_server(name)


_asked: dict[tuple[str, str], tuple[float, Location | None]] = {}


def _on_the_server(name: str) -> Location | None:
    settings = current_settings()
    # Without an address, the API runs in this process, on the database in the home.
    key = settings.api_url or str(settings.home), name
    asked = _asked.get(key)
    if asked is not None:
        at, found = asked
        if time.monotonic() - at < (FRESH_NONE_SECONDS if found is None else FRESH_SECONDS):
            return found
    found = _read(name)
    _asked[key] = time.monotonic(), found
    return found


def _read(name: str) -> Location | None:
    from orionflow.calls.blocks import read_block
    from orionflow.client import OrionClient

    try:
        with OrionClient() as client:
            try:
                block = client.send(read_block(BLOCK_TYPE, name, include_secrets=True))
            except NotAllowed as refusal:
                # A location without options has no secrets, so that it can be read without the permission for them.
                block = client.send(read_block(BLOCK_TYPE, name))
                if block.data.get("options"):
                    raise UsageError(
                        f"The options of the location of results {name!r} are secret, and this program may not read "
                        f"them: {refusal} A deployment declares it: secrets=['{BLOCK_TYPE}/{name}']."
                    ) from refusal
    except NotFound:
        return None
    except ApiError as error:
        raise UsageError(f"The location of results {name!r} cannot be asked for: {error}") from error
    return location_of_block(name, block.data)


def location_of_block(name: str, content: dict[str, Any]) -> Location:
    """Return the location that a block describes. Raise UsageError for one that blocks may not describe."""
    try:
        found = location(name, content.get("url"), content.get("options"))
    except ValueError as error:
        raise UsageError(f"The block {BLOCK_TYPE}/{name} {error}.") from None
    scheme = _scheme(found)
    if scheme and scheme not in OF_BLOCKS:
        raise UsageError(
            f"The block {BLOCK_TYPE}/{name} names an address of the kind {scheme}://, which only "
            "ORION_RESULTS_LOCATIONS may name."
        )
    if any("{{" in text for text in _texts(found.options)):
        # The author of a block may have no access to variables of other machines or to secrets, but chooses the address
        # that would receive them.
        raise UsageError(
            f"The block {BLOCK_TYPE}/{name} refers to a variable or a secret, which only ORION_RESULTS_LOCATIONS may; "
            "give the value itself, which is stored sealed, or leave it out where machines have credentials."
        )
    return found


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for inner in (*value.keys(), *value.values()):
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)


def _scheme(found: Location) -> str:
    return found.url.partition("://")[0].lower() if "://" in found.url else ""


_open: dict[str, tuple[Location, ResultStore]] = {}


def _opened(found: Location) -> ResultStore:
    known = _open.get(found.name)
    if known is None or known[0] != found:
        known = _open[found.name] = found, LocatedStore(found.name, _behind(found))
    return known[1]


def _behind(found: Location) -> ResultStore:
    if _scheme(found) in ("", "file"):
        return LocalFileSystem(folder_of(found.url))
    return RemoteFolder(found)


@dataclass(slots=True)
class LocatedStore:
    """A store with a name and a time limit: a run does not wait longer than that for a store that does not answer."""

    name: str
    inner: ResultStore
    silent_until: float = field(default=0.0, compare=False)

    @property
    def where(self) -> str:
        return LOCATION + self.name

    def write(self, key: str, content: bytes) -> None:
        self._within(lambda: self.inner.write(key, content))

    def read(self, key: str) -> bytes:
        return self._within(lambda: self.inner.read(key))

    def exists(self, key: str) -> bool:
        return self._within(lambda: self.inner.exists(key))

    def delete(self, key: str) -> None:
        self._within(lambda: self.inner.delete(key))  # type: ignore[attr-defined]

    def _within(self, work: Callable[[], T]) -> T:
        seconds = current_settings().results_timeout_seconds
        if time.monotonic() < self.silent_until:
            raise self._silent(seconds)
        outcome: list[T] = []
        trouble: list[BaseException] = []

        def run() -> None:
            try:
                outcome.append(work())
            except BaseException as error:
                trouble.append(error)

        # The file systems have no common way to set a time limit.
        thread = threading.Thread(target=run, name=f"orion-results-{self.name}", daemon=True)
        thread.start()
        thread.join(seconds)
        if trouble:
            raise trouble[0]
        if not outcome:
            # The next calls fail at once instead of waiting for the same store again.
            self.silent_until = time.monotonic() + seconds
            raise self._silent(seconds)
        return outcome[0]

    def _silent(self, seconds: float) -> TimeoutError:
        return TimeoutError(
            f"the location did not answer within {seconds:g} s (ORION_RESULTS_TIMEOUT_SECONDS allows more)"
        )


class RemoteFolder:
    """A folder at an address that fsspec can open."""

    def __init__(self, found: Location) -> None:
        self._location = found
        self._opened: tuple[Any, str] | None = None

    @property
    def where(self) -> str:
        return LOCATION + self._location.name

    def write(self, key: str, content: bytes) -> None:
        files, path = self._at(key)
        if _scheme(self._location) in ("sftp", "ssh", "hdfs"):
            # Object stores have no folders, and may require extra permissions to create one.
            files.makedirs(posixpath.dirname(path), exist_ok=True)
        files.pipe_file(path, content)

    def read(self, key: str) -> bytes:
        files, path = self._at(key)
        try:
            content: bytes = files.cat_file(path)
        except FileNotFoundError as error:
            raise MissingResult(
                f"The stored result {key!r} is gone from the location {self._location.name!r}; {GONE}"
            ) from error
        return content

    def exists(self, key: str) -> bool:
        files, path = self._at(key)
        return bool(files.exists(path))

    def delete(self, key: str) -> None:
        files, path = self._at(key)
        files.rm_file(path)

    def files(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the files directly in the folder, with the details that the file system reports."""
        files, root = self._root()
        found = files.find(root, maxdepth=1, detail=True)
        return [(posixpath.basename(name), dict(entry)) for name, entry in found.items()]

    def _root(self) -> tuple[Any, str]:
        if self._opened is None:
            from orionflow.storage.remote import file_system
            from orionflow.storage.secrets import resolved

            options = resolved(dict(self._location.options), {})
            self._opened = file_system(self._location.url, options)
        return self._opened

    def _at(self, key: str) -> tuple[Any, str]:
        files, root = self._root()
        below = posixpath.normpath(key)
        if below.startswith(("/", "..")) or below == ".":
            raise leads_out(key, f"the location {self._location.name!r}")
        return files, f"{root.rstrip('/')}/{below}"
