"""Kombu's messages in a folder, read with the care that several processes need.

Kombu's own reader takes a file that its writer has made but not yet filled for a message, fails on it and ends the
consumer; and it moves each message through the system's temporary folder, where others may read it.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import filesystem

# A writer needs well under a millisecond from making a file to filling it; one that died in between never will.
PATIENCE_SECONDS = 1.0


class Channel(filesystem.Channel):
    """The channel of kombu's file system transport with another way to take a message."""

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        folder = Path(self.data_folder_in)
        for name in sorted(os.listdir(folder)):
            if name.partition(".")[2] == f"{queue}.msg" and (message := _taken(folder / name)) is not None:
                return message
        raise Empty


def _taken(file: Path) -> Any:
    """The message in `file`, if this process is the one that gets it."""
    # Renaming is atomic, and no queue's name begins with a dot.
    own = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        os.rename(file, own)
    except OSError:
        return None
    try:
        return _filled(own)
    finally:
        own.unlink(missing_ok=True)


def _filled(file: Path) -> Any:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            return json.loads(file.read_bytes())
        except ValueError:
            time.sleep(0.001)
    return None


class Transport(filesystem.Transport):
    """The transport that `orionflow.agent.broker` makes known to kombu."""

    Channel = Channel
