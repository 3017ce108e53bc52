"""The database as a whole: check whether it exists, is intact and up to date; create and upgrade it.

Nothing here repairs a database by deleting: an unknown file stays where it is, and the error says what to do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

from django.apps import apps
from django.db import Error, connection, connections
from django.db.backends.utils import CursorWrapper

from orion_site.database.file import (
    UPGRADE,
    DatabaseUnusable,
    create_alone,
    delete_file,
    file_exists,
    is_new_home,
    no_tables,
    refuse_empty_file,
    refuse_what_is_not_there,
    sqlite_file,
)
from orion_site.database.migration_files import (
    Name,
    known_migrations,
    missing_migrations,
    newer_migrations,
    only_new_apps,
)
from orion_site.database.sqlite.files import alone, damaged, refuse_another_user
from orionflow.json_lines import print_line
from runs import beyond_models

__all__ = [
    "Change",
    "DatabaseUnusable",
    "Report",
    "check",
    "copy_ahead",
    "drop_copy",
    "one_at_a_time",
    "place",
    "prepare",
    "reset",
    "sorting_in_files",
    "upgrade",
]


# How long a process waits for another one that upgrades.
LONGEST_UPGRADE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Report:
    """A report on the database. `problem` is None when it can be used."""

    vendor: str
    place: str
    version: str
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def ok(self) -> bool:
        return self.problem is None


@dataclass(frozen=True, slots=True)
class Change:
    """The result of an upgrade or a reset."""

    place: str
    created: bool
    applied: tuple[str, ...]


def prepare() -> None:
    """Make the database usable when a process starts, or raise DatabaseUnusable.

    An ORION_HOME without a database gets one. In an existing database only tables of newly installed apps are created.
    """
    if is_new_home():
        create_alone(_make_tables, is_reported=True)
    refuse_what_is_not_there()
    refuse_empty_file()
    with _plain_errors():
        _reach_postgresql()
        missing = missing_migrations()
        if missing:
            with one_at_a_time():
                # Another process may have done it in the meantime, or have been about to when it was checked.
                missing = missing_migrations()
                if missing and only_new_apps(missing):
                    _migrate()
                    missing = missing_migrations()
        problem = _behind(missing) or _ahead() or _interrupted()
    if problem:
        raise DatabaseUnusable(problem)


def check(*, deep: bool = False) -> Report:
    """Check the database without changing it; `deep` verifies all its pages and rows, which takes a while."""
    version = ""
    try:
        refuse_what_is_not_there()
        refuse_empty_file()
        with _plain_errors():
            _reach_postgresql()
            version = _version()
            missing = missing_migrations()
            # Migrations that every server applies when it starts are not reported.
            behind = [] if missing and only_new_apps(missing) else missing
            ahead = newer_migrations()
            problem = _behind(behind) or _ahead() or _interrupted() or (_broken_pages() if deep else None)
    except DatabaseUnusable as error:
        return Report(connection.vendor, place(), version, problem=str(error))
    return Report(connection.vendor, place(), version, _labels(missing or []), _labels(ahead), problem)


def upgrade() -> Change:
    """Bring the database up to date; create it first if it is a SQLite file that does not exist."""
    if sqlite_file() is not None and not file_exists():
        before: list[Name] = known_migrations()
        create_alone(_make_tables, is_reported=False)
        return Change(place(), True, _labels(before))
    refuse_what_is_not_there()
    with _plain_errors():
        _reach_postgresql()
    # In this order: the conversion needs the lock, and migrations need the converted file.
    with _plain_errors(), one_at_a_time(), _ids_of_sixteen_bytes():
        missing = missing_migrations()
        missing = known_migrations() if missing is None else missing
        if problem := _ahead():
            raise DatabaseUnusable(problem)
        if missing:
            _migrate()
        else:
            # An upgrade that was killed after its last migration has left these out.
            for part in _beyond_models():
                part.install()
        _add_roll_ups_up()
    return Change(place(), False, _labels(missing))


def copy_ahead() -> bool:
    """Copy a SQLite file that the next upgrade rewrites, while servers use it. Return False if there is none."""
    if (file := sqlite_file()) is None or not file_exists():
        return False
    from orion_site.database.conversion import copy_ahead as copy

    refuse_another_user(file)
    with alone(file):
        return copy(file)


def drop_copy() -> bool:
    """Delete the copy of `copy_ahead`. Return False if there was none."""
    if (file := sqlite_file()) is None or not file_exists():
        return False
    from orion_site.database.conversion import drop_copy as drop

    refuse_another_user(file)
    with alone(file):
        return drop(file)


@contextmanager
def _ids_of_sixteen_bytes() -> Iterator[None]:
    if (file := sqlite_file()) is None:
        yield
        return
    from orion_site.database.conversion import converted

    # A connection of Django would write to the file, and then the copy of a killed upgrade would have to start again.
    connection.close()
    with converted(file):
        yield


def _add_roll_ups_up() -> None:
    """Add changes to the roll-ups that programs made while no server ran."""
    from runs.roll_ups.services import AS_MANY_AS_IT_TAKES, add_up

    add_up(steps=AS_MANY_AS_IT_TAKES)


def reset() -> Change:
    """Delete everything that Orion stored and start with empty tables. The caller must ask for confirmation."""
    if (file := sqlite_file()) is not None:
        delete_file(file)
    else:
        with _plain_errors():
            _drop_tables()
    return upgrade()


def place() -> str:
    """Return where the database is, without its password."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return str(settings["NAME"])
    return f"{settings['NAME']} on {settings['HOST'] or 'the local socket'}"


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Convert errors of the driver to one sentence."""
    try:
        yield
    except Error as error:
        connections.close_all()
        raise DatabaseUnusable(_plainly(str(error).strip().splitlines()[0])) from error


def _reach_postgresql() -> None:
    """Connect once without the pool, which would retry silently until its timeout."""
    if connection.vendor == "postgresql" and connection.connection is None:
        import psycopg

        with connection.wrap_database_errors:
            psycopg.connect(**connection.get_connection_params()).close()


def _plainly(message: str) -> str:
    if (file := sqlite_file()) is not None:
        if "malformed" in message or "not a database" in message:
            return damaged(str(file))
        return message if str(file) in message else f"The database {file} cannot be used: {message}."
    return f"PostgreSQL cannot be used ({place()}): {message}."


def _behind(missing: list[Name] | None) -> str | None:
    if missing is None:
        return no_tables(place())
    if missing:
        return f"The database {place()} is older than this Orion (migrations missing: {len(missing)}); run {UPGRADE}."
    return None


def _ahead() -> str | None:
    """Return why this version cannot use a newer database: it would store data in a form that is no longer valid."""
    if not (newer := newer_migrations()):
        return None
    return (
        f"The database {place()} is newer than this Orion ({len(newer)} migrations ahead); "
        "start the version that upgraded it, or a later one."
    )


def _beyond_models() -> list[ModuleType]:
    """Return the modules that manage what models cannot declare; each has `install` and `is_complete`."""
    if not apps.is_installed("django.contrib.auth"):
        # Short programs leave the audit log's triggers to servers and commands: loading them takes longer than the
        # check.
        return [beyond_models]
    from orion_site.audit import triggers

    return [beyond_models, triggers]


def _interrupted() -> str | None:
    """Return a message if the last upgrade was killed after the migrations, before it created triggers and indexes."""
    if all(part.is_complete() for part in _beyond_models()):
        return None
    return f"The last upgrade of the database {place()} was interrupted; run {UPGRADE}."


def _make_tables() -> None:
    from orion_site.database.new_file import make_tables

    make_tables()


def _migrate() -> None:
    # Imported only by processes that change the database.
    from orion_site.database.migrating import migrate

    with sorting_in_files():
        migrate()


@contextmanager
def sorting_in_files() -> Iterator[None]:
    """Sort in temporary files instead of memory, as for indexes of whole tables."""
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA temp_store=FILE")
        try:
            yield
        finally:
            cursor.execute("PRAGMA temp_store=MEMORY")


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Lock the database for an upgrade: two at the same time would create the same table."""
    if (file := sqlite_file()) is not None:
        with alone(file):
            yield
        return
    with connection.cursor() as cursor:
        _wait_for_upgrade_lock(cursor)
        # Creating an index of a large table takes longer than a request may.
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SET lock_timeout = 0")
        try:
            yield
        finally:
            cursor.execute("RESET statement_timeout")
            cursor.execute("RESET lock_timeout")
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_UPGRADE_LOCK])


def _wait_for_upgrade_lock(cursor: CursorWrapper) -> None:
    """Poll for the lock: a waiting statement would be cancelled by the limits for statements and locks."""
    until = time.monotonic() + LONGEST_UPGRADE_SECONDS
    is_reported = False
    while True:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_UPGRADE_LOCK])
        if cursor.fetchone()[0]:
            return
        if time.monotonic() > until:
            raise DatabaseUnusable(
                f"Another process has been upgrading the database {place()} for {LONGEST_UPGRADE_SECONDS:.0f} s; "
                "wait for its end, or end it, and start again."
            )
        if not is_reported:
            print_line(f"Waiting for another process that upgrades the database {place()}.")
            is_reported = True
        time.sleep(0.2)


# An arbitrary number, which must not change.
_UPGRADE_LOCK = 0x0410


def _drop_tables() -> None:
    tables = [*connection.introspection.django_table_names(only_existing=True), "django_migrations"]
    with connection.cursor() as cursor:
        names = ", ".join(connection.ops.quote_name(table) for table in tables)
        cursor.execute(f"DROP TABLE IF EXISTS {names} CASCADE")


def _broken_pages() -> str | None:
    if connection.vendor != "sqlite":
        return None
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA quick_check(1)")
        found = cursor.fetchone()[0]
    return None if found == "ok" else _plainly("malformed")


def _version() -> str:
    return ".".join(str(part) for part in connection.get_database_version())


def _labels(names: list[Name]) -> tuple[str, ...]:
    return tuple(f"{app}.{name}" for app, name in names)
