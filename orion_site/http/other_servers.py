"""Which servers serve one SQLite file: each keeps a lock beside it while it lives, with its process and address inside.

Locks go with their process, however it ends, so a file that a killed server left says nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orionflow.private_files import private_opener


@contextmanager
def announced(database: Path, address: str) -> Iterator[list[str]]:
    """Announce this server until the block ends; the answer describes the others that live."""
    try:
        import fcntl
    except ImportError:  # Windows has no flock; there the second server goes unnoticed.
        yield []
        return
    own = database.with_name(f"{database.name}.{os.getpid()}.server")
    with open(own, "w", opener=private_opener) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"process {os.getpid()}, {address}")
        lock.flush()
        try:
            yield _living(database, own)
        finally:
            own.unlink(missing_ok=True)


def _living(database: Path, own: Path) -> list[str]:
    import fcntl

    found = []
    for path in sorted(database.parent.glob(f"{database.name}.*.server")):
        with suppress(OSError), open(path) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                if path != own:
                    found.append(lock.read())
            else:
                # Its process was killed.
                path.unlink(missing_ok=True)
    return found
