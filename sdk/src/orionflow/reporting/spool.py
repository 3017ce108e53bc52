"""Files that keep reports while the API is away: `ORION_HOME/spool/<id>.jsonl`, one item per line, in order.

A file is locked by its writer while that runs. A file without a lock was left by a process that ended; the process that
finds it sends it, and deletes it when all of it is acknowledged. Items contain ids of the client, so repeating them has
no effect.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import IO, Any

from orionflow.attempt import headers_for
from orionflow.contract.ids import uuid7
from orionflow.contract.masking import known
from orionflow.errors import OrionError
from orionflow.private_files import make_private_folder

try:
    import fcntl
except ImportError:  # Windows: a file that is open cannot be renamed or deleted there, which protects it as well.
    fcntl = None  # type: ignore[assignment]

FORMAT = 1


class SpoolError(OrionError):
    """Reports can be kept neither in memory nor in a file."""


class SpoolFile:
    """A queue of lines in a file: written at its end, read from its front."""

    def __init__(self, folder: Path, api_url: str) -> None:
        # The process that sends the file belongs to another attempt; reports of a replaced attempt must be refused all
        # the same.
        header = {"format": FORMAT, "api_url": api_url, "writer": dict(headers_for(api_url))}
        self._header = json.dumps(header).encode() + b"\n"
        self._front = len(self._header)
        self.waiting = 0
        while not self._open_in(folder):
            continue
        self._begin()

    def _open_in(self, folder: Path) -> bool:
        """Create the file and lock it; return whether it is still there.

        A process that looks for leftovers may lock the new file first, and delete it, because it is empty.
        """
        self.path = folder / f"{uuid7()}.jsonl"
        try:
            make_private_folder(folder)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            # Without a write buffer: bytes that did not fit must not be written by a later call.
            self._file = FileIO(descriptor, "r+b")
            # Before the first line: a file that has one, and no lock, counts as left by a process that ended.
            lock(self._file, waits=True)
            if not self.path.exists():
                self._file.close()
                return False
            self._reader: IO[bytes] = open(self.path, "rb")  # noqa: SIM115
        except OSError as error:
            raise self._cannot(error) from error
        return True

    def _begin(self) -> None:
        try:
            self._write([self._header])
        except SpoolError:
            self.remove()
            raise

    def _cannot(self, error: OSError) -> SpoolError:
        return SpoolError(
            f"Reports cannot be kept in {self.path}: {error.strerror}; make room there, or start the API."
        )

    def append(self, lines: Iterable[bytes]) -> None:
        """Append lines. They outlive this process, but not necessarily a loss of power."""
        batch = list(map(known.masked_line, lines))
        self._write(batch)
        self.waiting += len(batch)

    def _write(self, lines: list[bytes]) -> None:
        end = self._file.seek(0, os.SEEK_END)
        rest = memoryview(b"".join(lines))
        try:
            while rest:
                # The part that still fits is written, before the disk reports that it is full.
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            # An incomplete line would spoil the next one.
            self._file.truncate(end)
            raise self._cannot(error) from error

    def head(self, count: int) -> list[bytes]:
        """Return the oldest lines; they stay until they are settled."""
        self._reader.seek(self._front)
        return [line for line in (self._reader.readline() for _ in range(min(count, self.waiting))) if line]

    def settle(self, lines: list[bytes]) -> None:
        """Remove the oldest lines, which were acknowledged."""
        self._front += sum(map(len, lines))
        self.waiting -= len(lines)

    def rest(self) -> bytes:
        """Return all remaining lines as they are in the file."""
        self._reader.seek(self._front)
        return self._reader.read()

    def remove(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        self._reader.close()
        self._file.close()


def lock(file: IO[bytes] | FileIO, *, waits: bool = False) -> bool:
    """Lock a file for this process; return False if another process has locked it, and this one does not wait."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class Leftover:
    """A spool file whose process has ended."""

    def __init__(self, path: Path, file: IO[bytes], api_url: str, writer: Mapping[str, str]) -> None:
        self.path = path
        self.api_url = api_url
        self.writer = writer
        self._file = file

    def lines(self) -> Iterator[bytes]:
        """Return the lines in order, without a last one that was cut off when its process ended."""
        return (line for line in self._file if line.endswith(b"\n"))

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        self._file.close()


def spool_folder(home: Path) -> Path:
    return home / "spool"


def leftovers(folder: Path) -> Iterator[Leftover]:
    """Yield the leftover files that could be locked, oldest first; the caller removes or closes each."""
    for path in sorted(folder.glob("*.jsonl")):
        if (found := _claim(path)) is not None:
            yield found


def _claim(path: Path) -> Leftover | None:
    try:
        file = open(path, "r+b")  # noqa: SIM115
    except OSError:
        return None
    # Another process may have sent and deleted the file between the open and the lock.
    if not lock(file) or not path.exists():
        file.close()
        return None
    first = file.readline()
    if not first.endswith(b"\n"):
        # Its process ended before it had anything to keep.
        path.unlink(missing_ok=True)
        file.close()
        return None
    try:
        header = json.loads(first)
    except ValueError:
        header = None
    if not isinstance(header, dict):
        # No process can send it; renamed, so that it is not checked again and again.
        path.replace(path.with_suffix(".bad"))
        file.close()
        return None
    return _with_header(path, file, header)


def _with_header(path: Path, file: IO[bytes], header: dict[str, Any]) -> Leftover | None:
    if header.get("format") != FORMAT:
        # A newer version of Orion wrote the file, and can handle it.
        file.close()
        return None
    return Leftover(path, file, str(header["api_url"]), header.get("writer") or {})
