"""The database as a whole: is it there, is it sound, is it up to date; and making it so.

Nothing here repairs by deleting: a file that is not understood stays where it is, and a sentence says what to do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import Error, connection, connections

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
from orionflow.json_lines import say
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


# So long one process waits for another one that upgrades.
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
    """Make the database usable at the start of a process, or raise DatabaseUnusable.

    A home without a database gets one. An existing database is never changed but for tables of apps that are new to it.
    """
    if is_new_home():
        create_alone(_make_tables, say=True)
    refuse_what_is_not_there()
    refuse_empty_file()
    with _plain_errors():
        _reach_postgresql()
        missing = missing_migrations()
        if missing:
            with one_at_a_time():
                # Another process may have done it meanwhile, or have been half-way through when it was looked at.
                missing = missing_migrations()
                if missing and only_new_apps(missing):
                    _migrate()
                    missing = missing_migrations()
        problem = _behind(missing) or _ahead() or _interrupted()
    if problem:
        raise DatabaseUnusable(problem)


def check(*, deep: bool = False) -> Report:
    """Look without changing anything; `deep` has the database verify its own pages and rows, which takes a while."""
    version = ""
    try:
        refuse_what_is_not_there()
        refuse_empty_file()
        with _plain_errors():
            _reach_postgresql()
            version = _version()
            missing = missing_migrations()
            # What a server adds at its start, without being asked to, leaves nothing to do.
            behind = [] if missing and only_new_apps(missing) else missing
            ahead = newer_migrations()
            problem = _behind(behind) or _ahead() or _interrupted() or (_broken_pages() if deep else None)
    except DatabaseUnusable as error:
        return Report(connection.vendor, place(), version, problem=str(error))
    return Report(connection.vendor, place(), version, _spelled(missing or []), _spelled(ahead), problem)


def upgrade() -> Change:
    """Bring the database up to date; make it first if it is a SQLite file that does not exist."""
    if sqlite_file() is not None and not file_exists():
        before: list[Name] = known_migrations()
        create_alone(_make_tables, say=False)
        return Change(place(), True, _spelled(before))
    refuse_what_is_not_there()
    with _plain_errors():
        _reach_postgresql()
    with _plain_errors(), one_at_a_time(), _ids_of_sixteen_bytes():
        missing = missing_migrations()
        missing = known_migrations() if missing is None else missing
        if problem := _ahead():
            raise DatabaseUnusable(problem)
        if missing:
            _migrate()
        else:
            for part in _beyond_models():
                part.install()
        _add_roll_ups_up()
    return Change(place(), False, _spelled(missing))


def copy_ahead() -> bool:
    """Copy a SQLite file that the next upgrade rewrites, while others work on it; False if there is none to copy."""
    if (file := sqlite_file()) is None or not file_exists():
        return False
    from orion_site.database.conversion import copy_ahead as copy

    refuse_another_user(file)
    with alone(file):
        return copy(file)


def drop_copy() -> bool:
    """Delete what was copied ahead; False if nothing was."""
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

    # A connection of Django's would write into the file, and what a killed upgrade has copied would be copied again.
    connection.close()
    with converted(file):
        yield


def _add_roll_ups_up() -> None:
    """Count in the changes of programs while no server was there."""
    from runs.roll_ups.services import AS_MANY_AS_IT_TAKES, add_up

    add_up(steps=AS_MANY_AS_IT_TAKES)


def reset() -> Change:
    """Delete everything that Orion stored and start with empty tables. Asking whether this is meant is the caller's."""
    if (file := sqlite_file()) is not None:
        delete_file(file)
    else:
        with _plain_errors():
            _drop_tables()
    return upgrade()


def place() -> str:
    """Where the database is, without its password."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return str(settings["NAME"])
    return f"{settings['NAME']} on {settings['HOST'] or 'the local socket'}"


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn what the driver says into one sentence."""
    try:
        yield
    except Error as error:
        connections.close_all()
        raise DatabaseUnusable(_plainly(str(error).strip().splitlines()[0])) from error


def _reach_postgresql() -> None:
    """Ask the server once without the pool, which would try in silence until its time is up."""
    if connection.vendor == "postgresql" and connection.connection is None:
        import psycopg

        with connection.wrap_database_errors:
            psycopg.connect(**connection.get_connection_params()).close()


def _plainly(said: str) -> str:
    if (file := sqlite_file()) is not None:
        if "malformed" in said or "not a database" in said:
            return damaged(str(file))
        return said if str(file) in said else f"The database {file} cannot be used: {said}."
    return f"PostgreSQL cannot be used ({place()}): {said}."


def _behind(missing: list[Name] | None) -> str | None:
    if missing is None:
        return no_tables(place())
    if missing:
        return f"The database {place()} is older than this Orion (migrations missing: {len(missing)}); run {UPGRADE}."
    return None


def _ahead() -> str | None:
    """An older server would store what the newer one no longer means so."""
    if not (newer := newer_migrations()):
        return None
    return (
        f"The database {place()} is newer than this Orion ({len(newer)} migrations ahead); "
        "start the version that upgraded it, or a later one."
    )


def _beyond_models() -> list[Any]:
    """Return the modules that look after what models cannot declare: with `install` and `is_complete`."""
    if not apps.is_installed("django.contrib.auth"):
        # A short program leaves the audit log's to servers and commands: they would take longer than the question.
        return [beyond_models]
    from orion_site.audit import triggers

    return [beyond_models, triggers]


def _interrupted() -> str | None:
    """The last upgrade made all tables, and was killed before it came to what else the database keeps."""
    if all(part.is_complete() for part in _beyond_models()):
        return None
    return f"The last upgrade of the database {place()} was interrupted; run {UPGRADE}."


def _make_tables() -> None:
    from orion_site.database.new_file import make_tables

    make_tables()


def _migrate() -> None:
    # Only a process that changes the database loads what that takes.
    from orion_site.database.migrating import migrate

    with sorting_in_files():
        migrate()


@contextmanager
def sorting_in_files() -> Iterator[None]:
    """Spare memory where whole tables are sorted, as for their indexes."""
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
    """Two upgrades that start together would both create the same table."""
    if (file := sqlite_file()) is not None:
        with alone(file):
            yield
        return
    with connection.cursor() as cursor:
        _wait_for_upgrade_lock(cursor)
        # An index of a large table takes longer than any request may.
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SET lock_timeout = 0")
        try:
            yield
        finally:
            cursor.execute("RESET statement_timeout")
            cursor.execute("RESET lock_timeout")
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_UPGRADE_LOCK])


def _wait_for_upgrade_lock(cursor: Any) -> None:
    """Asked for again and again: a statement that waits would be ended by the time limits of statements and locks."""
    until = time.monotonic() + LONGEST_UPGRADE_SECONDS
    is_said = False
    while True:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_UPGRADE_LOCK])
        if cursor.fetchone()[0]:
            return
        if time.monotonic() > until:
            raise DatabaseUnusable(
                f"Another process has been upgrading the database {place()} for {LONGEST_UPGRADE_SECONDS:.0f} s; "
                "wait for its end, or end it, and start again."
            )
        if not is_said:
            say(f"Waiting for another process that upgrades the database {place()}.")
            is_said = True
        time.sleep(0.2)


# Any number will do as long as it stays the same.
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


def _spelled(names: list[Name]) -> tuple[str, ...]:
    return tuple(f"{app}.{name}" for app, name in names)
