"""The files in which the processes of a server keep their figures, by the process id of the server and their names.

A process writes its file every few seconds. One that no longer does is frozen, as the server removes the files of those
that have ended.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from orion_site.env import orion_home

FOLDER = "metrics"
OLD_SECONDS = 15.0


def folder_of(server: int) -> Path:
    return orion_home() / FOLDER / str(server)


def forget(server: int, name: str = "*") -> None:
    """Remove the file of a process that has ended, or those of all."""
    for file in folder_of(server).glob(f"{name}.prom"):
        file.unlink(missing_ok=True)


def silent_in(folder: Path) -> dict[str, float]:
    """Return the processes that have written no figures for long, with the seconds since they last did."""
    since = {}
    for file in folder.glob("*.prom"):
        with suppress(FileNotFoundError):
            since[file.stem] = time.time() - file.stat().st_mtime
    # If nobody writes, the disk is at fault.
    if not any(seconds <= OLD_SECONDS for seconds in since.values()):
        return {}
    return {name: seconds for name, seconds in since.items() if seconds > OLD_SECONDS}
