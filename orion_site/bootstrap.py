"""The entry point for use inside a user's process: the whole API as a WSGI application, without a port.

A script waits for the imports here before its first task, so keep them few.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestration.collector import collection_put_off, settle

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

SETTINGS = "orion_site.settings_embedded"

_starting = threading.Lock()
_application: WSGIApplication | None = None


def ephemeral_application() -> WSGIApplication:
    """Return the API on the database of ORION_HOME (or ORION_DATABASE_URL); an ORION_HOME without a database gets one.

    Raises DatabaseUnusable or ImproperlyConfigured with one sentence if the database cannot be used.
    """
    global _application
    with _starting:
        if _application is None:
            _application = _start()
        return _application


def _start() -> WSGIApplication:
    # The collector would search what is loaded several times, and find that all of it is needed. `settle` keeps it
    # from doing so at the end of the block, too.
    with collection_put_off():
        _configure()
        settle()
    # This may wait for another process.
    _prepare()
    with collection_put_off():
        application = _load()
        settle()
    return application


def _prepare() -> None:
    from orion_site.database.lifecycle import prepare

    prepare()


def _load() -> WSGIApplication:
    from django.urls import get_resolver

    from orion_site.database.file import FileInUse
    from orion_site.without_server import ApplicationWithoutServer

    atexit.register(_add_up, os.getpid())
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_leave_connections_to_parent)
    # Now, and not with the first request, because the collector is switched off.
    _ = get_resolver().url_patterns
    application = ApplicationWithoutServer()
    # A client that uses several threads calls this in each, and calls the result when the thread ends.
    application.thread_closer = _thread_closer  # type: ignore[attr-defined]
    application.at_home = _at_home  # type: ignore[attr-defined]
    application.refuse_lost_database = _refuse_lost_database  # type: ignore[attr-defined]
    file = FileInUse()
    file.refuse_another()
    application.refuse_another_database = file.refuse_another  # type: ignore[attr-defined]
    return application


def _add_up(process: int) -> None:
    """Add up roll-ups when the program ends: without any server, its changes would accumulate."""
    if os.getpid() != process:
        return
    from django.db import Error

    from runs.roll_ups.services import add_up_if_many

    # When a program ends, errors have no reader; the next program does what this one could not.
    with contextlib.suppress(Error):
        add_up_if_many()


def _at_home(home: Path, now: Callable[[], datetime] | None = None) -> AbstractContextManager[None]:
    """Serve another, initially empty ORION_HOME until the block ends, for the SDK's test kit."""
    from orion_site.isolation import at_home

    return at_home(home, now)


def _refuse_lost_database() -> None:
    """Raise DatabaseUnusable if the database file is gone, or has no tables of Orion."""
    from orion_site.database.file import refuse_lost_file

    refuse_lost_file()


def _thread_closer() -> Callable[[], None]:
    """Return a function that closes the connections of the present thread, even from another one."""
    from django.db import connections

    mine = [connections[alias] for alias in connections]

    def close() -> None:
        for connection in mine:
            # When a program ends, another thread may close the connections of one that has not ended.
            connection.inc_thread_sharing()
            try:
                connection.close()
            finally:
                connection.dec_thread_sharing()

    return close


def _configure() -> None:
    from django.conf import ENVIRONMENT_VARIABLE, settings

    if settings.configured:
        _refuse_other_projects(hasattr(settings, "ORION_STATE_LISTENERS"))
        return
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    _refuse_other_projects(chosen is None or chosen.startswith("orion_site."))
    os.environ.setdefault(ENVIRONMENT_VARIABLE, SETTINGS)
    import django

    django.setup(set_prefix=False)


def _refuse_other_projects(ours: bool) -> None:
    if ours:
        return
    from django.core.exceptions import ImproperlyConfigured

    raise ImproperlyConfigured(
        "This process belongs to another Django project, and Django runs one project per process; "
        "start `orion server start` and set ORION_API_URL to its address."
    )


# After a fork, SQLite's handles must not be used, and not even closed; a reference keeps them open.
_of_parent: list[object] = []


def _leave_connections_to_parent() -> None:
    global _starting
    from django.db import connections

    _starting = threading.Lock()
    for alias in connections:
        wrapper = connections[alias]
        _of_parent.append(wrapper.connection)
        wrapper.connection = None
        del connections[alias]
        if pools := getattr(type(wrapper), "_connection_pools", None):
            _of_parent.append(dict(pools))
            pools.clear()
