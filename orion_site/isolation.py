"""The API in this process on a database that belongs to one block of code: what the SDK's test kit stands on.

Django has no supported way to serve another database for a while. Settings of databases are read once; a second alias
with a router would have to be known at the start, and is not followed by `connection`, which raw SQL uses. Django's own
test runner changes a connection's settings in place, for one thread; the API is called from many. So this module swaps
what `connections` holds, and puts it back. Likewise for the clock: every entrance asks `timezone.now`, and libraries
that replace clocks would replace them for the code of users as well.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from asgiref.local import Local
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from orion_site.database.lifecycle import upgrade
from orion_site.env import database_from_url

# An empty database is made once in a process, then copied.
_pattern: Path | None = None


@contextmanager
def at_home(home: Path, now: Callable[[], datetime] | None = None) -> Iterator[None]:
    """Serve `home`'s SQLite file, empty at first, and by another clock if there is one, until the block ends."""
    home.mkdir(parents=True, exist_ok=True)
    with _connected_to(home / "orion.db"), _by_clock(now):
        _fill(home / "orion.db")
        yield


@contextmanager
def _connected_to(file: Path) -> Iterator[None]:
    # Private names of ConnectionHandler: the tests of the test kit fail should Django change them.
    settings, opened = connections.settings, connections._connections  # type: ignore[attr-defined]
    connections.settings = connections.configure_settings({"default": database_from_url(f"sqlite:///{file}")})
    # Every thread has connections of its own; those to the usual database are set aside, not closed.
    connections._connections = Local(connections.thread_critical)  # type: ignore[attr-defined]
    try:
        with _closing_all():
            yield
    finally:
        connections.settings, connections._connections = settings, opened  # type: ignore[attr-defined]


@contextmanager
def _closing_all() -> Iterator[None]:
    """Close what was opened in this block, in whatever thread: some of them go on, and others have ended without."""
    opened: list[BaseDatabaseWrapper] = []
    usual = connections.create_connection

    def create_connection(alias: str) -> BaseDatabaseWrapper:
        opened.append(usual(alias))
        return opened[-1]

    connections.create_connection = create_connection  # type: ignore[method-assign]
    try:
        yield
    finally:
        connections.create_connection = usual  # type: ignore[method-assign]
        for connection in opened:
            # Its thread does nothing with it any more.
            connection.inc_thread_sharing()
            connection.close()


@contextmanager
def _by_clock(now: Callable[[], datetime] | None) -> Iterator[None]:
    usual = timezone.now
    if now is not None:
        timezone.now = now
    try:
        yield
    finally:
        timezone.now = usual


def _fill(file: Path) -> None:
    global _pattern
    if _pattern is None or not _pattern.exists():
        upgrade()
        connections["default"].close()
        _pattern = Path(tempfile.mkdtemp(prefix="orion-pattern-")) / "orion.db"
        shutil.copyfile(file, _pattern)
        _remove_at_exit(_pattern.parent)
    elif not file.exists():
        shutil.copyfile(_pattern, file)


def _remove_at_exit(folder: Path) -> None:
    import atexit

    atexit.register(shutil.rmtree, folder, ignore_errors=True)
