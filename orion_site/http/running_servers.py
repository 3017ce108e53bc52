"""The servers of this machine: each keeps a locked file for its ORION_HOME, and another one for its SQLite file.

A lock ends with its process, so a file without a lock is from a killed server, and is removed.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from orionflow.private_files import make_private_folder, private_opener
from orionflow.settings.local_token import FOLDER, token_file

try:
    import fcntl
except ImportError:  # On Windows there are no such locks, so no server is listed or noticed by another.
    fcntl = None  # type: ignore[assignment]

# A file that is not readable for longer is not one of a server that is writing it.
WRITTEN_WITHIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Part:
    """One process of a server. `starts` is the number of times it was started."""

    name: str
    pid: int | None
    starts: int


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server; `pid` is the process that receives signals."""

    address: str
    pid: int
    started: str
    processes: tuple[Part, ...]


class ServerFile:
    """The file of this server, rewritten when one of its processes was restarted."""

    def __init__(self, file: TextIO, address: str) -> None:
        self._file = file
        self._server = RunningServer(address, os.getpid(), datetime.now(UTC).isoformat(), ())
        self.write(())

    def write(self, processes: Sequence[Part]) -> None:
        server = {**asdict(self._server), "processes": [asdict(one) for one in processes]}
        self._file.seek(0)
        self._file.write(json.dumps(server))
        self._file.truncate()
        self._file.flush()


@contextmanager
def announced(home: Path, host: str, port: int, address: str) -> Iterator[ServerFile]:
    """Keep the file by which `orion server status` and `stop` find a server, until the block ends."""
    token = token_file(home, host, port)
    path = token.with_name(f"{token.name}.json")
    make_private_folder(path.parent)
    with _locked(path) as file:
        yield ServerFile(file, address)


def running_servers(home: Path) -> list[RunningServer]:
    """Return the servers of this ORION_HOME on this machine, and remove the files of killed ones."""
    until = time.monotonic() + WRITTEN_WITHIN_SECONDS
    while True:
        texts = _texts_of_locked((home / FOLDER).glob(f"{socket.gethostname()} *.json")).values()
        found = []
        for text in texts:
            with suppress(ValueError, KeyError, TypeError):
                found.append(_read(text))
        # A server may be in the midst of writing its file. It cannot replace it, as the lock belongs to this file.
        if len(found) == len(texts) or time.monotonic() > until:
            return found
        time.sleep(0.01)


@contextmanager
def announced_for(database: Path, address: str) -> Iterator[list[str]]:
    """Announce this server for a SQLite file until the block ends, and yield descriptions of others that use it."""
    if fcntl is None:
        yield []
        return
    own = database.with_name(f"{database.name}.{os.getpid()}.server")
    with _locked(own) as file:
        file.write(f"process {os.getpid()}, {address}")
        file.flush()
        locked = _texts_of_locked(database.parent.glob(f"{database.name}.*.server"))
        yield [text for path, text in locked.items() if path != own]


@contextmanager
def _locked(path: Path) -> Iterator[TextIO]:
    """Open a file and hold a lock on it until the block ends; then remove it."""
    with _open_locked(path) as file:
        try:
            yield file
        finally:
            # While it is still locked, so that no other process can have taken it for one of a killed server.
            path.unlink(missing_ok=True)


def _open_locked(path: Path) -> TextIO:
    while True:
        file = open(path, "w", encoding="utf-8", opener=private_opener)  # noqa: SIM115
        if fcntl is None:
            return file
        fcntl.flock(file, fcntl.LOCK_EX)
        if _is_at(path, file):
            return file
        # Another process removed it between the open and the lock, as that of a killed server.
        file.close()


def _is_at(path: Path, file: TextIO) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    return False


def _texts_of_locked(paths: Iterable[Path]) -> dict[Path, str]:
    """Return the texts of the files that a process has locked, and remove the others."""
    if fcntl is None:
        return {}
    texts = {}
    for path in sorted(paths):
        with suppress(OSError), open(path, encoding="utf-8") as file:
            try:
                # Shared: two processes that look at the same moment must not take each other for the server.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                texts[path] = file.read()
            else:
                _remove(path, file)
    return texts


def _remove(path: Path, file: TextIO) -> None:
    # Of two processes that remove it, the slower one could remove the file that a new server made in between.
    with suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(path, file):
            path.unlink()


def _read(text: str) -> RunningServer:
    kept = json.loads(text)
    return RunningServer(
        kept["address"], int(kept["pid"]), kept["started"], tuple(Part(**one) for one in kept["processes"])
    )
