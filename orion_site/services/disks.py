"""The disks on which this server stores files, and their free space."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from orion_site.env import orion_home

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Disk:
    path: Path
    size: int
    free: int

    @property
    def is_nearly_full(self) -> bool:
        """Whether a busy day may fill the disk: less than a fiftieth of it is free, limited to 1 to 5 GiB."""
        return self.free < min(max(self.size // 50, GIB), 5 * GIB)


def disks() -> Iterator[Disk]:
    """Yield the disk of ORION_HOME, and those of other folders with results."""
    seen = set()
    for folder in (orion_home(), *settings.ORION_RESULTS_FOLDERS):
        try:
            device, usage = folder.stat().st_dev, shutil.disk_usage(folder)
        except OSError:
            # The folder is created with its first file.
            continue
        if device not in seen:
            seen.add(device)
            yield Disk(folder, usage.total, usage.free)
