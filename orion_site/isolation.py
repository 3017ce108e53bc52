"""The API in this process on a database for one block of code, for the SDK's test kit.

Django has no supported way to use another database temporarily. Settings of databases are read once; a second alias
with a router would have to be known at the start, and `connection`, which raw SQL uses, does not follow the router.
Django's test runner changes the settings of a connection in place, for one thread; the API is called from many. So this
module swaps the content of `connections`, and restores it afterwards. The same holds for the clock: all code calls
`timezone.now`, while libraries that replace clocks would also replace them for users' code.
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

# An empty database, created once in a process and then copied.
_pattern: Path | None = None


@contextmanager
def at_home(home: Path, now: Callable[[], datetime] | None = None) -> Iterator[None]:
    """Serve the SQLite file of `home`, initially empty, until the block ends; optionally with another clock."""
    home.mkdir(parents=True, exist_ok=True)
    with _connected_to(home / "orion.db"), _by_clock(now):
        _fill(home / "orion.db")
        yield


@contextmanager
def _connected_to(file: Path) -> Iterator[None]:
    # Private names of ConnectionHandler: the tests of the test kit fail if Django changes them.
    settings, opened = connections.settings, connections._connections  # type: ignore[attr-defined]
    connections.settings = connections.configure_settings({"default": database_from_url(f"sqlite:///{file}")})
    # Every thread has its own connections; those to the usual database are kept open, but unused.
    connections._connections = Local(connections.thread_critical)  # type: ignore[attr-defined]
    try:
        with _closing_all():
            yield
    finally:
        connections.settings, connections._connections = settings, opened  # type: ignore[attr-defined]


@contextmanager
def _closing_all() -> Iterator[None]:
    """Close connections that were opened in the block by any thread, including threads that have ended or continue."""
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
            # Its thread no longer uses it.
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
