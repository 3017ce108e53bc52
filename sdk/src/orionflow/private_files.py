"""Folders and files that only their owner may read: results, reports, keys, the database.

Python's `mkdir(mode=…, parents=True)` applies the mode to the last folder only, and the mode of files from `open`
depends on the umask, which lets all users read on most machines.
"""

from __future__ import annotations

import os
from pathlib import Path

from orionflow.errors import SettingsError

SHORTEST_KEY = 16


def make_private_folder(folder: Path) -> None:
    """Create a folder and its missing parents with mode 0700; an existing folder keeps its mode."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    # Raises a clear error if a file has the name of the folder.
    folder.mkdir(mode=0o700, exist_ok=True)


def private_opener(path: str, flags: int) -> int:
    """Create files with mode 0600: `open(path, "w", opener=private_opener)`."""
    return os.open(path, flags, 0o600)


def private_key(path: Path) -> bytes:
    """Return the key in this file; create the file if it does not exist."""
    if not path.exists():
        # Imported here and below, because every program that imports Orion imports this module.
        import secrets

        _publish(path, secrets.token_urlsafe(48))
    key = path.read_bytes()
    if len(key) < SHORTEST_KEY:
        raise SettingsError(f"The key in {path} is damaged: it has {len(key)} bytes. Restore it, or delete the file.")
    return key


def _publish(path: Path, key: str) -> None:
    import tempfile

    make_private_folder(path.parent)
    # Only readable by its owner, and complete before it gets its name. If two processes start at once, the first one
    # wins.
    descriptor, scratch = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(key)
    try:
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(scratch)
