"""The preparation of a server: its home, settings, secret key and database, before it serves."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address

from django.core.exceptions import ImproperlyConfigured

from orchestration.database_clock import current_time
from orion_site.env import orion_home
from orion_site.http.listener import listening_address
from orion_site.http.messages import print_line
from orion_site.http.options import CannotStart, ServerOptions
from orion_site.private_home import close_home
from orionflow import json_lines
from orionflow.private_files import make_private_folder

# Connections that a process with the usual number of threads uses under load.
CONNECTIONS_UNDER_LOAD = 15


def prepare(options: ServerOptions) -> None:
    """Prepare home, settings, secret key and database, in this order."""
    # Whatever goes into the environment goes first: settings are read from it, once, when Django is set up.
    host = ip_address(listening_address(options.host))
    if not host.is_loopback and not host.is_unspecified:
        os.environ["ORION_ALLOWED_HOSTS"] = ",".join(filter(None, [os.environ.get("ORION_ALLOWED_HOSTS"), str(host)]))
    if options.base_path.strip("/"):
        os.environ["ORION_BASE_PATH"] = "/" + options.base_path.strip("/")
    if options.agent:
        from orion_site.services.own_agent import own_broker

        os.environ.setdefault("ORION_BROKER_URL", own_broker())
    with _unwritable_home_named(), _invalid_settings_named():
        make_private_folder(orion_home())
        close_home(orion_home())
    _set_up_django()
    with _unwritable_home_named():
        _keep_secret_key()
    _refuse_contradictions()
    _refuse_workers_on_sqlite(options.workers)
    _prepare_database()
    if options.workers > 1:
        warn_of_few_connections(options.workers)


def settings_ready() -> None:
    """Close the home and set up Django with the server's settings. Raises CannotStart if they are invalid."""
    # A home that cannot be closed, as on a disk that is only read, may still be read.
    with _invalid_settings_named(), suppress(OSError):
        close_home(orion_home())
    _set_up_django()


def _set_up_django() -> None:
    """Set up Django with the server's settings, which refuse a home of other users."""
    chosen = os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orion_site.settings")
    import django

    with _invalid_settings_named():
        _refuse_other_projects(chosen)
        django.setup()
    if json_lines.are_wanted():
        json_lines.log_uncaught(logging.getLogger("orion.server"))


def _refuse_other_projects(module: str) -> None:
    """Raise CannotStart for settings that are not made from ours: shells keep the variable of another project."""
    from django.conf import settings

    try:
        if hasattr(settings, "ORION_HOME_OWNERS"):
            return
        reason = "has no settings of Orion"
    except ModuleNotFoundError as error:
        reason = f"cannot be imported ({error})"
    raise CannotStart(
        f"DJANGO_SETTINGS_MODULE={module} {reason}. Unset it, or let that module begin with "
        "`from orion_site.settings import *`."
    )


def _keep_secret_key() -> None:
    """Store a secret key unless there is one, and use it in place of the random one that the settings made."""
    from django.conf import settings

    from orion_site.accounts.secret_key import create_secret_key, secret_key

    create_secret_key()
    settings.SECRET_KEY = secret_key()


@contextmanager
def _unwritable_home_named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotStart(
            f"ORION_HOME cannot be written to: {error.strerror} ({error.filename}); set it to another folder."
        ) from error


@contextmanager
def _invalid_settings_named() -> Iterator[None]:
    try:
        yield
    except ImproperlyConfigured as error:
        raise CannotStart(str(error)) from error


def _refuse_contradictions() -> None:
    from django.core.checks import ERROR, run_checks

    found = run_checks(tags=["orion"])
    if wrong := [one for one in found if one.level >= ERROR]:
        raise CannotStart(" ".join(f"{one.msg} {one.hint}" for one in wrong))
    for one in found:
        print_line(f"{one.msg} {one.hint}")


def _refuse_workers_on_sqlite(workers: int) -> None:
    from django.db import connection

    if workers > 1 and connection.vendor == "sqlite":
        raise CannotStart(
            f"{workers} workers would take turns at SQLite, which has one writer at a time, and be slower than one. "
            "Use --workers 1, or PostgreSQL with ORION_DATABASE_URL."
        )


def warn_of_few_connections(workers: int) -> None:
    """Warn if PostgreSQL allows fewer connections than all processes of the server may use under load."""
    from django.conf import settings
    from django.db import connection

    pool = settings.DATABASES["default"]["OPTIONS"].get("pool") or {}
    of_each = min(CONNECTIONS_UNDER_LOAD, pool.get("max_size", CONNECTIONS_UNDER_LOAD))
    # The services run in another process.
    needed = (workers + 1) * of_each
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('max_connections')::int")
        (most,) = cursor.fetchone()
    if needed > most:
        print_line(
            f"{workers} workers and the services may use {needed} connections under load, "
            f"and PostgreSQL allows {most}. Raise its max_connections, lower ORION_DATABASE_POOL_SIZE, or use a pooler."
        )


def _prepare_database() -> None:
    from django.conf import settings

    from deployments.blocks.services.builtin_types import install_builtin_block_types
    from orion_site.database.lifecycle import DatabaseUnusable
    from orion_site.database.lifecycle import prepare as prepare_database

    try:
        prepare_database()
    except DatabaseUnusable as error:
        raise CannotStart(str(error)) from error
    install_builtin_block_types(now=current_time())
    if settings.ORION_BEAT:
        from orion_site.services.beat import write_periodic_tasks

        write_periodic_tasks()
