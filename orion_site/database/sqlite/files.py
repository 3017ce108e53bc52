"""Checks of a file before SQLite opens it: it is on a local disk, exists, and is a database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO

from django.core.exceptions import ImproperlyConfigured

from orionflow.private_files import private_opener

# WAL uses shared memory between processes; over a network the file would be corrupted sooner or later.
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

# The first connection creates the WAL and its index next to the file, which needs space even for reading.
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
    """Return the type of the file system that contains `path`; None where the system has no list of mounts."""
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
        # Of two mounts at one path, the later one is visible.
        if inside and len(mount) >= len(best):
            best, kind = mount, fields[2]
    return kind


def damaged(path: str) -> str:
    return f"{path} is not a SQLite database or is damaged; restore a backup or move it away."


def found_no_room(error: BaseException | None) -> bool:
    """Whether SQLite failed because the disk is full."""
    return getattr(error, "sqlite_errorname", "") in NO_ROOM


def is_first_look(path: Path) -> bool:
    """Whether this process opens the file for the first time; the file must exist.

    Only then may code other than SQLite open it: closing a file releases all locks of the process on it, including
    those of its connections (https://sqlite.org/howtocorrupt.html, 2.2), and another program could then remove the WAL.
    """
    status = path.stat()
    file = (status.st_dev, status.st_ino)
    is_new = file not in _looked_into
    _looked_into.add(file)
    return is_new


def looks_truncated(path: Path) -> bool:
    """Whether the file is shorter than its header says. SQLite would notice only when it reads a missing page."""
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        # An empty file is an empty database; SQLite refuses any other file.
        return False
    log = Path(f"{path}-wal")
    if log.exists() and log.stat().st_size:
        # A crash during a checkpoint leaves such a file, and SQLite completes it from the WAL.
        return False
    size = int.from_bytes(header[16:18], "big")
    page_size = 65536 if size == 1 else size
    return path.stat().st_size < page_size * int.from_bytes(header[28:32], "big")


class DatabaseUnusable(RuntimeError):
    """The database cannot be used in its present state; the message says why and what to do, in one sentence."""

    # The SDK, which does not import the server, recognises the error by this.
    code = "database_unusable"


def refuse_another_user(path: Path) -> None:
    """Refuse a user who does not own the file: new files next to it would not be usable for the owner.

    Root is allowed.
    """
    owner = _owner_of(path)
    if os.geteuid() not in (0, owner):
        raise DatabaseUnusable(f"The database {path} belongs to the user {_name_of(owner)}; run this as that user.")


def owners_opener(path: Path) -> Callable[[str, int], int]:
    """Return an opener that creates files with mode 0600 next to the database; root gives them to its owner."""

    def opened(name: str, flags: int) -> int:
        descriptor = private_opener(name, flags)
        if os.geteuid() == 0:
            owner, own = (path if path.exists() else path.parent).stat(), os.fstat(descriptor)
            if (own.st_uid, own.st_gid) != (owner.st_uid, owner.st_gid):
                # In some containers root cannot change owners; then the file stays root's.
                with suppress(OSError):
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
        return descriptor

    return opened


def _owner_of(path: Path) -> int:
    """Return the owner of a file, or of the folder that hides it from this user."""
    try:
        return path.stat().st_uid
    except PermissionError:
        return _owner_of(path.parent)


def _name_of(uid: int) -> str:
    import pwd

    try:
        return repr(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"of number {uid}"


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock in a file next to `path`, so that other processes that need the same database wait.

    Raises DatabaseUnusable if the lock file cannot be written.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no flock; there the first start of two at once may fail, and says so
        yield
        return
    with _opened_lock(path) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _opened_lock(path: Path) -> IO[str]:
    file = Path(f"{path}.lock")
    try:
        return open(file, "w", opener=owners_opener(path))
    except PermissionError as error:
        owner = _name_of(_owner_of(file if os.path.lexists(file) else path.parent))
        raise DatabaseUnusable(
            f"The file {file} cannot be written: it, or its folder, belongs to the user {owner}. Run this as that "
            "user, or give the file to the one who runs the server."
        ) from error
