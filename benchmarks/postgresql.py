"""A PostgreSQL server for one benchmark: Debian's, if it is installed, or that of the wheel.

Prefect's servers need the extension `pg_trgm`, which the wheel lacks; in comparisons all products use Debian's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import ROOT

OWNER = "postgres"
# Commits do not wait for the disk, so that the benchmark does not measure it.
SETTINGS = {"listen_addresses": "", "fsync": "off", "full_page_writes": "off"}


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """Yield the URL of an empty database for this benchmark alone."""
    programs = debian_programs()
    with running_debian(programs) if programs else running_wheel() as url:
        yield url


def debian_programs() -> Path | None:
    """Return the folder with the newest programs; None without the package, or for users other than root."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return found[-1] if found and os.geteuid() == 0 else None


@contextlib.contextmanager
def running_debian(programs: Path) -> Iterator[str]:
    directory = Path(tempfile.mkdtemp(prefix="orion-bench-pg-"))
    shutil.chown(directory, OWNER)
    data = str(directory / "data")

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        subprocess.run(command, user=OWNER, cwd=directory, check=True, stdout=subprocess.DEVNULL)

    run("initdb", "-D", data, "--auth", "trust", "--encoding", "UTF8")
    with (directory / "data" / "postgresql.conf").open("a") as configuration:
        configuration.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
    run("pg_ctl", "-D", data, "-w", "-l", f"{directory}/log", "-o", f"-k {directory}", "start")
    try:
        run("createdb", "-h", str(directory), "orion")
        yield f"postgresql://{OWNER}@/orion?host={directory}"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def running_wheel() -> Iterator[str]:
    sys.path.insert(0, str(ROOT))
    from tests.postgresql import running_postgresql

    with running_postgresql() as url:
        yield url
