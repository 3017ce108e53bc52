"""Identity of a process, as text by which another process on the same machine can check later whether it is alive.

A process id is not enough: ids are reused, containers count their own, and machines restart. The text also names the
host, the machine, its boot and the namespace of ids. If any of these differs or cannot be read, the answer is unknown.
"""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

_PROC = Path("/proc")
_MACHINE = Path("/etc/machine-id")
_SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """The id of a process, and its start in ticks since the machine booted."""

    host: str
    pid: int
    started: int
    boot: str
    namespace: str
    machine: str

    def __str__(self) -> str:
        fields = (self.host, self.pid, self.started, self.boot, self.namespace, self.machine)
        return _SEPARATOR.join(str(field) for field in fields)


def own_identity() -> str | None:
    """Return the identity of this process; None if the system does not provide all parts."""
    found = _identity_of(os.getpid())
    return str(found) if found else None


def read_identity(text: str) -> ProcessIdentity | None:
    """Parse a text of `own_identity`; return None for any other text."""
    parts = text.split(_SEPARATOR)
    try:
        host, pid, started, boot, namespace, machine = parts
        return ProcessIdentity(host, int(pid), int(started), boot, namespace, machine)
    except ValueError:
        return None


def is_gone(text: str, seen_at: datetime | None = None) -> bool:
    """Whether the process has certainly ended. False if it is alive, or may be alive where this process cannot check.

    `seen_at` is the moment when it was last known to be alive.
    """
    known, here = read_identity(text), _identity_of(os.getpid())
    if known is None or here is None or (known.host, known.machine) != (here.host, here.machine):
        return False
    if known.boot != here.boot:
        # The machine has booted since. But machines without an id may share a host name, and cloned machines share
        # both, so a process that was seen after this boot runs on another machine.
        began = _boot_time()
        return known.machine != "" and began is not None and seen_at is not None and seen_at < began
    return known.namespace == here.namespace and not _lives(known)


def _boot_time() -> datetime | None:
    """Return when this machine booted."""
    try:
        lines = (_PROC / "stat").read_text().splitlines()
    except OSError:
        return None
    seconds = next((line.split()[1] for line in lines if line.startswith("btime ")), None)
    return datetime.fromtimestamp(int(seconds), UTC) if seconds else None


def _lives(known: ProcessIdentity) -> bool:
    try:
        os.kill(known.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # The process belongs to another user.
        pass
    return _is_in_table(known) is not False


def _is_in_table(known: ProcessIdentity) -> bool | None:
    """Whether the process is in the process table; None if that cannot be read: others' processes may be hidden."""
    stat = _stat(known.pid)
    if stat is None:
        return None
    state, started = stat
    # State Z: the process has ended, and its parent has not collected it yet.
    return started == known.started and state not in ("Z", "X")


@lru_cache(maxsize=1)
def _identity_of(pid: int) -> ProcessIdentity | None:
    stat = _stat(pid)
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = str(os.stat(_PROC / "self/ns/pid").st_ino)
    except OSError:
        return None
    if stat is None:
        return None
    host = socket.gethostname().replace(_SEPARATOR, "")
    return ProcessIdentity(host, pid, stat[1], boot, namespace, _machine())


def _machine() -> str:
    """Return a digest of the machine's id, as the id itself is confidential."""
    try:
        known = _MACHINE.read_text().strip()
    except OSError:
        return ""
    return hashlib.sha256(b"orion " + known.encode()).hexdigest()[:16] if known else ""


def _stat(pid: int) -> tuple[str, int] | None:
    """Return the state and start of a process, from its line in the process table."""
    try:
        line = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The program's name is in parentheses, and may contain anything.
    fields = line.rpartition(")")[2].split()
    return fields[0], int(fields[19])
