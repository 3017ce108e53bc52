"""The place of the archive: folders of Parquet files at any address that fsspec supports, each with a manifest.

    <place>/<day>/<batch>/flow_runs.parquet, task_runs.parquet, …, manifest.json, cleared.json
    <place>/restored/<note>.json, <note>.whole

The manifest is written last: a folder without one is not a batch. `cleared.json` records that the rows have left the
database. `restored` records which runs are copied back and until when they stay; `<note>.whole` that they are complete.
No file here is ever changed or deleted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings

VERSION = 1
MANIFEST, CLEARED = "manifest.json", "cleared.json"
RESTORED, WHOLE = "restored", ".whole"
# The files that every batch must have, and the names that files may have.
KINDS = frozenset({"flow_runs", "task_runs", "flow_run_states", "task_run_states", "logs", "artifacts"})
_FILE_NAME = re.compile(r"\w+\.parquet", re.ASCII)
_READ_AT_ONCE = 1024 * 1024


class ArchiveUnavailable(RuntimeError):
    """The archive cannot be used. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a batch, as described by its manifest."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Some thousands of runs that were archived together, with the ranges of their expected times and ids."""

    folder: str
    day: str
    since: datetime
    until: datetime
    first: UUID
    last: UUID
    written: datetime
    files: Mapping[str, File]
    is_cleared: bool = False

    @property
    def flow_runs(self) -> int:
        return self.files["flow_runs"].rows

    @property
    def task_runs(self) -> int:
        return self.files["task_runs"].rows

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.files.values())


@dataclass(frozen=True, slots=True)
class Note:
    """Runs that a user began to copy back, when, and until when they stay."""

    restored: datetime
    until: datetime
    runs: frozenset[UUID]


def is_configured() -> bool:
    return bool(settings.ORION_ARCHIVE_PATH)


class Place:
    """The archive at one address."""

    def __init__(self, address: str) -> None:
        self.address = without_login(address)
        self.files, self.root = _file_system(address)
        # Manifests and notes never change, so each is read only once.
        self._known: dict[str, Batch] = {}
        self._noted: dict[str, Note] = {}

    def url(self, path: str) -> str:
        """Return the address of a file for a reader that uses fsspec."""
        return path if self.is_local else str(self.files.unstrip_protocol(path))

    @property
    def is_local(self) -> bool:
        return "file" in _protocols(self.files)

    # --- reading ---

    def batches(self) -> list[Batch]:
        """Return all batches, oldest first. Raises ArchiveUnavailable if a manifest cannot be read."""
        try:
            # File systems of object stores cache listings, but other servers write there, too.
            self.files.invalidate_cache()
            found = set(self.files.find(self.root)) if self.files.exists(self.root) else set()
        except OSError as error:
            raise ArchiveUnavailable(f"The archive {self.address} cannot be read: {error}") from error
        batches = []
        for path in sorted(one for one in found if one.endswith(f"/{MANIFEST}")):
            folder = path.removesuffix(f"/{MANIFEST}")
            batch = self._known.get(folder) or self._read(folder)
            if not batch.is_cleared and f"{folder}/{CLEARED}" in found:
                batch = _cleared(batch)
            self._known[folder] = batch
            batches.append(batch)
        return sorted(batches, key=lambda batch: (batch.since, batch.folder))

    def _read(self, folder: str) -> Batch:
        try:
            manifest = json.loads(self.files.cat_file(f"{folder}/{MANIFEST}"))
            return _batch(folder, manifest)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            message = f"The manifest of {folder} cannot be read ({type(error).__name__}); restore it from a copy."
            raise ArchiveUnavailable(message) from error

    def flaws(self, batch: Batch) -> list[str]:
        """Read each file of a batch, and return how files differ from the manifest."""
        found = []
        for name, file in batch.files.items():
            path = f"{batch.folder}/{file.name}"
            try:
                size, digest = self._digest(path)
            except OSError as error:
                found.append(f"{path} cannot be read: {error}")
                continue
            if (size, digest) != (file.bytes, file.sha256):
                found.append(f"{path} is not the file that was written: its checksum differs.")
            elif (rows := self.table(batch, name, ["id"]).num_rows) != file.rows:
                found.append(f"{path} has {rows} rows instead of {file.rows}.")
        return found

    def _digest(self, path: str) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        with self.files.open(path, "rb") as file:
            while part := file.read(_READ_AT_ONCE):
                digest.update(part)
                size += len(part)
        return size, digest.hexdigest()

    def table(self, batch: Batch, name: str, columns: list[str]) -> Any:
        """Return some columns of one of the batch's files, as an Arrow table."""
        parquet = needed("pyarrow.parquet")
        with self.files.open(f"{batch.folder}/{batch.files[name].name}", "rb") as file:
            # Do not let Arrow use threads of its own: one that still reads the Python file at exit aborts the process.
            return parquet.ParquetFile(file, pre_buffer=False).read(columns=columns, use_threads=False)

    # --- writing ---

    def add(self, *, day: str, files: Mapping[str, tuple[Path, int]], description: Mapping[str, Any]) -> Batch:
        """Copy files there, then write the manifest that makes them a batch."""
        folder = f"{self.root}/{day}/{secrets.token_hex(8)}"
        self._make_folder(folder)
        written = {}
        for name, (source, rows) in files.items():
            target = f"{folder}/{source.name}"
            self.files.put_file(str(source), target)
            with source.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            written[name] = {"name": source.name, "rows": rows, "bytes": source.stat().st_size, "sha256": digest}
        self._keep(f"{folder}/{one['name']}" for one in written.values())
        manifest = {"version": VERSION, "day": day, **description, "files": written}
        self._write(folder, MANIFEST, manifest)
        return _batch(folder, manifest)

    def _make_folder(self, folder: str) -> None:
        """Create the folder of a batch. A local one is private to its owner: it contains logs and parameters."""
        if not self.is_local:
            self.files.makedirs(folder, exist_ok=True)
            return
        path, above = folder, []
        # Folders of the archive even if they exist: who made them may not have come to flush them.
        while (parent := os.path.dirname(path)) != path and (path.startswith(self.root) or not os.path.exists(path)):
            above.append(parent)
            path = parent
        os.makedirs(folder, mode=0o700, exist_ok=True)
        for path in above:
            # The folder around an archive that another user made may be closed to this one.
            if os.access(path, os.R_OK):
                _flush(path)

    def mark_cleared(self, batch: Batch, *, now: datetime) -> None:
        self._write(batch.folder, CLEARED, {"cleared": now.isoformat()})

    # --- runs that were copied back ---

    def keep(self, runs: Iterable[UUID], *, until: datetime, now: datetime) -> str:
        """Record that these archived runs stay in the database until then, and until they are complete.

        Return the name of the note, for `mark_whole`.
        """
        folder, note = f"{self.root}/{RESTORED}", secrets.token_hex(8)
        self._make_folder(folder)
        content = {"restored": now.isoformat(), "until": until.isoformat(), "runs": [str(one) for one in runs]}
        self._write(folder, f"{note}.json", content)
        return note

    def mark_whole(self, note: str, *, now: datetime) -> None:
        """Record that the runs of a note are in the database, together with everything that belongs to them."""
        self._write(f"{self.root}/{RESTORED}", f"{note}{WHOLE}", {"whole": now.isoformat()})

    def kept(self, now: datetime) -> frozenset[UUID]:
        """Return the old runs that stay in the database. Raises ArchiveUnavailable."""
        notes = self._notes()
        return frozenset().union(*(note.runs for note, _ in notes if note.until > now), _in_part(notes))

    def in_part(self) -> frozenset[UUID]:
        """Return the runs for which copying back began but did not finish. Raises ArchiveUnavailable."""
        return _in_part(self._notes())

    def restored(self) -> frozenset[UUID]:
        """Return all runs that were ever copied back. Raises ArchiveUnavailable."""
        return frozenset().union(*(note.runs for note, _ in self._notes()))

    def _notes(self) -> list[tuple[Note, bool]]:
        """Return the notes, oldest first, each with whether its runs are complete."""
        folder = f"{self.root}/{RESTORED}"
        try:
            self.files.invalidate_cache()
            paths = set(self.files.find(folder)) if self.files.exists(folder) else set()
            notes = [path for path in paths if path.endswith(".json")]
            for path in notes:
                if path not in self._noted:
                    content = json.loads(self.files.cat_file(path))
                    runs = frozenset(map(UUID, content["runs"]))
                    self._noted[path] = Note(_moment(content["restored"]), _moment(content["until"]), runs)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            message = f"{folder} cannot be read ({type(error).__name__}); delete the file that is no list of runs."
            raise ArchiveUnavailable(message) from error
        found = [(self._noted[path], f"{path.removesuffix('.json')}{WHOLE}" in paths) for path in notes]
        return sorted(found, key=lambda one: (one[0].restored, one[1]))

    def _write(self, folder: str, name: str, value: Mapping[str, Any]) -> None:
        """Write a file that is either complete or does not exist."""
        # A name of its own: another process may write the same file at the same moment.
        path, part = f"{folder}/{name}", f"{folder}/.{name}.{secrets.token_hex(4)}.part"
        self.files.pipe_file(part, json.dumps(value, indent=1).encode())
        self._keep([part])
        self.files.mv(part, path)
        # The new name, too, must survive a power failure.
        self._keep([path])

    def _keep(self, paths: Iterable[str]) -> None:
        """Flush files on a local file system to its disk now, because rows are deleted once they are archived."""
        if not self.is_local:
            return
        for path in paths:
            _flush(path)
            _flush(os.path.dirname(path))


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _in_part(notes: Iterable[tuple[Note, bool]]) -> frozenset[UUID]:
    """Return the runs whose newest note is not complete: only that counts, because a run can be restored repeatedly."""
    is_whole = {run: whole for note, whole in notes for run in note.runs}
    return frozenset(run for run, whole in is_whole.items() if not whole)


_places: dict[str, Place] = {}


def place() -> Place:
    """Return the archive that the settings name. Raises ArchiveUnavailable."""
    address = settings.ORION_ARCHIVE_PATH
    if not address:
        raise ArchiveUnavailable("There is no archive: ORION_ARCHIVE_PATH names no place for one.")
    if address not in _places:
        _places[address] = Place(address)
    return _places[address]


def needed(module: str) -> Any:
    """Import a dependency of the extra `archive`. Raises ArchiveUnavailable, with what to install."""
    try:
        return import_module(module)
    except ImportError:
        message = f"The archive needs {module.partition('.')[0]}: pip install 'orionflow-server[archive]'"
        raise ArchiveUnavailable(message) from None


def without_login(address: str) -> str:
    """Return the address without credentials: viewers see errors of the archive, too."""
    scheme, mark, rest = address.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else address


def _file_system(address: str) -> tuple[Any, str]:
    core, shown = needed("fsspec.core"), without_login(address)
    try:
        files, path = core.url_to_fs(address)
    except ImportError as error:
        raise ArchiveUnavailable(f"The archive {shown} needs a package that is not installed: {error}") from None
    except (OSError, ValueError) as error:
        reason = str(error).replace(address, shown)
        raise ArchiveUnavailable(f"The archive {shown} cannot be used: {reason}") from error
    return files, str(path).rstrip("/")


def _protocols(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _batch(folder: str, manifest: Mapping[str, Any]) -> Batch:
    """Read a manifest. Validate it, because everyone with write access to the archive can write one."""
    if manifest["version"] != VERSION:
        raise ValueError("another version")
    files = {name: _file(**one) for name, one in manifest["files"].items()}
    if missing := KINDS - files.keys():
        raise ValueError(f"no file of {missing}")
    return Batch(
        folder=folder,
        day=str(manifest["day"]),
        since=_moment(manifest["since"]),
        until=_moment(manifest["until"]),
        first=UUID(manifest["first"]),
        last=UUID(manifest["last"]),
        written=_moment(manifest["written"]),
        files=files,
    )


def _file(name: str, rows: int, bytes: int, sha256: str) -> File:
    # The file must be in the folder of its manifest, and its name must not be a glob pattern.
    if not _FILE_NAME.fullmatch(name):
        raise ValueError("no name of a file")
    return File(name, int(rows), int(bytes), str(sha256))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment


def _cleared(batch: Batch) -> Batch:
    return Batch(**{name: getattr(batch, name) for name in Batch.__slots__ if name != "is_cleared"}, is_cleared=True)
