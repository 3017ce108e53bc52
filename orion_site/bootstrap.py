"""The entry point for use inside a user's process: the whole API as a WSGI application, without a port.

What is imported here is what a script waits for before its first task; keep it little.
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

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

SETTINGS = "orion_site.settings_embedded"

_starting = threading.Lock()
_application: WSGIApplication | None = None


def ephemeral_application() -> WSGIApplication:
    """The API on the database of ORION_HOME (or ORION_DATABASE_URL), which is created if the home has none.

    Raises DatabaseUnusable or ImproperlyConfigured with one sentence when there is no way to serve.
    """
    global _application
    with _starting:
        if _application is None:
            _application = _start()
        return _application


def _start() -> WSGIApplication:
    _configure()
    from orion_site.database.lifecycle import prepare

    prepare()
    atexit.register(_add_up, os.getpid())
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_leave_connections_to_parent)
    from orion_site.without_server import ApplicationWithoutServer

    application = ApplicationWithoutServer()
    # Who calls from many threads asks for this in each, and calls what it gets when the thread ends.
    application.thread_closer = _thread_closer  # type: ignore[attr-defined]
    application.at_home = _at_home  # type: ignore[attr-defined]
    return application


def _add_up(process: int) -> None:
    """Roll-ups are added up by servers; where there never is one, what programs change must not pile up."""
    if os.getpid() != process:
        return
    from django.db import Error

    from runs.roll_ups.services import add_up_if_many

    # At the end of a program nobody listens: the next one adds up what this one could not.
    with contextlib.suppress(Error):
        add_up_if_many()


def _at_home(home: Path, now: Callable[[], datetime] | None = None) -> AbstractContextManager[None]:
    """For the SDK's test kit: serve another home, empty at first, until the block ends."""
    from orion_site.isolation import at_home

    return at_home(home, now)


def _thread_closer() -> Callable[[], None]:
    """Closes what the present thread has opened, though its own storage may be gone by then."""
    from django.db import connections

    mine = [connections[alias] for alias in connections]

    def close() -> None:
        for connection in mine:
            # At the end of a program, another thread may tidy up after one that still stands.
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


# SQLite's handles must not be used after a fork, and not even closed: a reference keeps them as they are.
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
