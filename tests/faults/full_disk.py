"""A disk of a few megabytes that can be filled, and emptied again."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

BALLAST = "ballast"
BLOCK = 4096


class SmallDisk:
    """A file system of its own on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Leave not a single block."""
        file = os.open(self.folder / BALLAST, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            while True:
                os.write(file, b"x" * BLOCK)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        finally:
            os.close(file)

    def make_room(self) -> None:
        (self.folder / BALLAST).unlink()


@contextmanager
def small_disk(megabytes: int) -> Iterator[SmallDisk]:
    # Outside of pytest's folders: it deletes old ones, and fails where a test that was killed has left a mount.
    folder = Path(tempfile.mkdtemp(prefix="orion-small-disk-"))
    with ExitStack() as undone:
        undone.callback(folder.rmdir)
        _mount(folder, megabytes)
        # Files that a process still has open there disappear when it closes them.
        undone.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
        yield SmallDisk(folder)


def _mount(folder: Path, megabytes: int) -> None:
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("a small disk is a mount, which root alone may make")
    words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(folder)]
    mounted = subprocess.run(words, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"this machine lets nobody mount a small disk: {mounted.stderr.strip()}")
