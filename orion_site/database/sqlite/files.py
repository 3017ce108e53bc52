"""Checks of a file before SQLite may have it: on a local disk, there already, and a database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from orionflow.private_files import private_opener

# WAL shares memory between processes; over a network it corrupts the file sooner or later.
NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "afs",
        "ncpfs",
        "fuse.sshfs",
        "fuse.glusterfs",
        "ceph",
        "fuse.ceph",
        "lustre",
    }
)

# The first connection makes the log and its index beside the file, which needs room even for reading.
NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
_looked_into: set[tuple[int, int]] = set()


@lru_cache(maxsize=16)
def refuse_network_file_system(path: str) -> None:
    kind = file_system_of(Path(path))
    if kind in NETWORK_FILE_SYSTEMS:
        raise ImproperlyConfigured(
            f"The SQLite database {path} lies on a network file system ({kind}), where SQLite loses data. "
            "Set ORION_HOME or ORION_DATABASE_URL to a local disk, or use PostgreSQL."
        )


def file_system_of(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """The type of the file system that holds `path`; None where the system has no list of mounts."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    where = os.path.realpath(path)
    best, kind = "", None
    for line in lines:
        fields = line.split()
        if len(fields) < 3:
            continue
        mount = fields[1].replace("\\040", " ")
        inside = where == mount or where.startswith(mount.rstrip("/") + "/")
        # Of two mounts on one place the later one is on top.
        if inside and len(mount) >= len(best):
            best, kind = mount, fields[2]
    return kind


def damaged(path: str) -> str:
    return f"{path} is not a SQLite database or is damaged; restore a backup or move it away."


def found_no_room(error: BaseException | None) -> bool:
    """Whether SQLite gave up because the disk is full."""
    return getattr(error, "sqlite_errorname", "") in NO_ROOM


def is_first_look(path: Path) -> bool:
    """Whether this process looks into the file for the first time; the file must be there.

    Only then may anything but SQLite open it: closing a file gives up all locks that the process has on it, also those
    of its connections (https://sqlite.org/howtocorrupt.html, 2.2), and another program takes the log away.
    """
    status = path.stat()
    file = (status.st_dev, status.st_ino)
    is_new = file not in _looked_into
    _looked_into.add(file)
    return is_new


def looks_truncated(path: Path) -> bool:
    """Whether the file is shorter than its own header says. SQLite would notice when it first misses a page."""
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        # Nothing at all is an empty database; anything else, SQLite itself refuses.
        return False
    log = Path(f"{path}-wal")
    if log.exists() and log.stat().st_size:
        # A crash in the middle of a checkpoint leaves such a file, and SQLite completes it from the log.
        return False
    size = int.from_bytes(header[16:18], "big")
    page_size = 65536 if size == 1 else size
    return path.stat().st_size < page_size * int.from_bytes(header[28:32], "big")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other processes that ask for the same file waiting. The lock is a file beside it."""
    try:
        import fcntl
    except ImportError:  # Windows has no flock; there the first start of two at once may fail, and says so
        yield
        return
    with open(f"{path}.lock", "w", opener=private_opener) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
