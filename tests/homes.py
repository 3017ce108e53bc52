"""Homes whose database is ready: it is made once for each state of the code, and copied for each test.

A program that finds a database spends half the time of one that makes it first. Tests of first starts, of commands
about the database and of privacy take an empty home.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
APPS = ("orion_site", "orchestration", "runs", "deployments", "events")


def ready_home(home: Path) -> Path:
    """Make the home, with an empty database in it; what is there stays as it is."""
    home.mkdir(parents=True, exist_ok=True)
    database = home / "orion.db"
    if not database.exists():
        shutil.copy(ready_database(), database)
        database.chmod(0o600)
    return home


@cache
def ready_database() -> Path:
    """A file to copy: of all processes that run tests of this checkout the first one makes it."""
    folder = Path(tempfile.gettempdir(), f"orion-tests-{os.getuid()}", hashlib.sha256(bytes(ROOT)).hexdigest()[:12])
    kept = folder / f"{_state_of_the_code()}.db"
    if kept.exists():
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    stale = list(folder.glob("*.db"))
    with tempfile.TemporaryDirectory(dir=folder) as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "DJANGO_"))}
        command = [str(Path(sys.executable).with_name("orion")), "database", "upgrade"]
        subprocess.run(command, env={**environment, "ORION_HOME": home}, check=True, stdout=subprocess.DEVNULL)
        # At once whole: others look for it meanwhile.
        Path(home, "orion.db").rename(kept)
    for old in stale:
        old.unlink(missing_ok=True)
    return kept


def _state_of_the_code() -> str:
    files = sorted(file for app in APPS for file in (ROOT / app).rglob("*.py"))
    stamps = [f"{file} {file.stat().st_mtime_ns}" for file in files]
    return hashlib.sha256("\n".join(stamps).encode()).hexdigest()[:16]
