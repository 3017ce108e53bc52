"""What a file must be before SQLite may have it: on a local disk, there already, and a database."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

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
