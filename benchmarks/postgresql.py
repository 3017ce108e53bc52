"""A PostgreSQL for one benchmark: Debian's, if it is installed, or the wheel's.

Prefect's servers make the extension `pg_trgm`, which the wheel lacks: beside them everybody is measured on Debian's.
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
# Nobody measures this machine's disk: a commit does not wait for it, whoever's it is.
SETTINGS = {"listen_addresses": "", "fsync": "off", "full_page_writes": "off"}


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """The URL of an empty database that nobody else uses."""
    programs = debian_programs()
    with running_debian(programs) if programs else running_wheel() as url:
        yield url


def debian_programs() -> Path | None:
    """Where the newest version's programs are; none without the package, or for anybody but root."""
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
