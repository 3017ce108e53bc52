"""Databases that are ready: they are made once for each state of the code, and copied for each test.

A program that finds a database spends half the time of one that makes it first. Tests of first starts, of commands
about the database and of privacy take an empty home.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
STALE_SECONDS = 2 * 3600
APPS = ("orion_site", "orchestration", "runs", "deployments", "events")


def ready_home(home: Path) -> Path:
    """Make the home, with an empty database in it; what is there stays as it is."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = home / "orion.db"
    if not database.exists():
        shutil.copy(ready_database(), database)
        database.chmod(0o600)
    return home


@cache
def ready_database() -> Path:
    """A SQLite file with all tables and no rows."""
    return made_once("db", _upgrade)


def made_once(kind: str, make: Callable[[Path], object]) -> Path:
    """Keep what `make` leaves at the path that it is given, to be copied: once for each state of the code."""
    folder = Path(tempfile.gettempdir(), f"orion-tests-{os.getuid()}", hashlib.sha256(bytes(ROOT)).hexdigest()[:12])
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{_state_of_the_code()}.{kind}"
    # The first of the processes that run tests makes it, and the others wait.
    with (folder / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():
            return kept
        with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as place:
            make(Path(place, "made"))
            Path(place, "made").rename(kept)
        # A round that began before the code changed may still copy what it found.
        for old in folder.glob(f"*.{kind}"):
            if old != kept and old.stat().st_mtime < time.time() - STALE_SECONDS:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
    return kept


def _upgrade(file: Path) -> None:
    run_orion_upgrade(file.parent)
    (file.parent / "orion.db").rename(file)


def run_orion_upgrade(home: Path, **settings: str) -> None:
    """Make the tables of a home's database, or of the one that the settings name."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "DJANGO_"))}
    command = [str(Path(sys.executable).with_name("orion")), "database", "upgrade"]
    environment |= {"ORION_HOME": str(home), **settings}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _state_of_the_code() -> str:
    files = sorted(file for app in APPS for file in (ROOT / app).rglob("*.py"))
    stamps = [f"{file} {file.stat().st_mtime_ns}" for file in files]
    return hashlib.sha256("\n".join(stamps).encode()).hexdigest()[:16]
