"""Folders and files that only their owner may enter and read: results, reports, keys, the database.

Python's `mkdir(mode=…, parents=True)` gives the mode to the last folder alone, and `open` leaves files to the umask,
which on most machines lets everybody read.
"""

from __future__ import annotations

import os
from pathlib import Path


def make_private_folder(folder: Path) -> None:
    """Create a folder and whatever is missing above it with mode 0700; one that exists keeps its mode."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    # Says what is wrong where a file is in the way.
    folder.mkdir(mode=0o700, exist_ok=True)


def private_opener(path: str, flags: int) -> int:
    """Create files with mode 0600: `open(path, "w", opener=private_opener)`."""
    return os.open(path, flags, 0o600)
