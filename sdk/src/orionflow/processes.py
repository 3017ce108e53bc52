"""Which process this is, in a text that another process of the same machine can check later: is it still there?

A process id alone says little: ids are used again, containers count their own, and machines restart. So the text names
the host, the machine, its start and the namespace of ids besides; where any of that differs or cannot be read, nothing
is claimed.
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
    """One process, once: its id, and when it began, in ticks since its machine did."""

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
    """This process; None where the system does not tell enough of it."""
    found = _identity_of(os.getpid())
    return str(found) if found else None


def read_identity(text: str) -> ProcessIdentity | None:
    """Read a text of `own_identity`; None for any other text."""
    parts = text.split(_SEPARATOR)
    try:
        host, pid, started, boot, namespace, machine = parts
        return ProcessIdentity(host, int(pid), int(started), boot, namespace, machine)
    except ValueError:
        return None


def is_gone(text: str, seen_at: datetime | None = None) -> bool:
    """Whether that process is certainly no more. False when it lives, or lives where this one cannot look.

    `seen_at` is its last sign of life.
    """
    known, here = read_identity(text), _identity_of(os.getpid())
    if known is None or here is None or (known.host, known.machine) != (here.host, here.machine):
        return False
    if known.boot != here.boot:
        # The machine has started again since; but machines without an id of their own may share a name, and copies of
        # a machine share both. One that was seen after this start is on another machine.
        began = _boot_time()
        return known.machine != "" and began is not None and seen_at is not None and seen_at < began
    return known.namespace == here.namespace and not _lives(known)


def _boot_time() -> datetime | None:
    """Return when this machine started."""
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
        # It is another user's.
        pass
    return _is_in_table(known) is not False


def _is_in_table(known: ProcessIdentity) -> bool | None:
    """Ask the process table; None where it may not be read, as others' processes may be hidden."""
    stat = _stat(known.pid)
    if stat is None:
        return None
    state, started = stat
    # Z: it has ended, and its parent has not noticed yet.
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
    """Return a digest: the id itself is not for others to see."""
    try:
        known = _MACHINE.read_text().strip()
    except OSError:
        return ""
    return hashlib.sha256(b"orion " + known.encode()).hexdigest()[:16] if known else ""


def _stat(pid: int) -> tuple[str, int] | None:
    """State and start of a process, from its line in the process table."""
    try:
        line = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name of the program stands in brackets, and may hold anything.
    fields = line.rpartition(")")[2].split()
    return fields[0], int(fields[19])
