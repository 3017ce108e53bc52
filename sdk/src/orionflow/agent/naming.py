"""The name of an agent: kept over restarts, and never shared by two agents of one home."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orionflow.errors import UsageError
from orionflow.private_files import make_private_folder, private_opener

MOST_AGENTS = 1000
HOME_ID = re.compile("[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class HeldName:
    """A name that belongs to this process while it lives, with a folder for files of its runs."""

    name: str
    folder: Path
    lock: IO[str]

    def release(self) -> None:
        # While the name is still locked: afterwards the folder may be that of the next agent.
        shutil.rmtree(self.folder, ignore_errors=True)
        self.lock.close()


def hold_name(home: Path, wanted: str | None) -> HeldName:
    """Return the wanted name, or the first free one of host-1a2b3c, host-1a2b3c-2, host-1a2b3c-3 …

    A restarted agent gets its previous name, by which the API knows at once that its earlier runs have ended. The
    middle part identifies the home: agents of two homes on one machine do not see each other's locks.
    """
    if wanted:
        held = _hold(home, wanted)
        if held is None:
            raise UsageError(f"An agent named {wanted!r} runs already in {home}; choose another --name.")
        return held
    host = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname()) or "agent"
    own = f"{host}-{home_id(home)}"
    for number in range(1, MOST_AGENTS):
        if (held := _hold(home, own if number == 1 else f"{own}-{number}")) is not None:
            return held
    raise UsageError(f"All {MOST_AGENTS} names for agents of {host} are taken in {home}.")


def home_id(home: Path) -> str:
    """Return the id of this home, which is unique on its machine; it is created once and kept."""
    agents = home / "agents"
    make_private_folder(agents)
    with open(agents / ".home", "a+", encoding="ascii", errors="replace", opener=private_opener) as file:
        # Agents that start at the same moment wait for each other here.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        known = file.read()
        if HOME_ID.fullmatch(known):
            return known
        file.truncate(0)
        made = secrets.token_hex(3)
        file.write(made)
        return made


def _hold(home: Path, name: str) -> HeldName | None:
    if "/" in name or name.startswith("."):
        raise UsageError(f"{name!r} cannot name an agent; use letters, digits, dots and dashes.")
    agents = home / "agents"
    make_private_folder(agents)
    # Not "w", which would empty the file of an agent that runs.
    lock = open(agents / f"{name}.lock", "a+", encoding="utf-8", opener=private_opener)  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    folder = agents / name
    # Files that an earlier start left behind when it was killed.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return HeldName(name, folder, lock)
