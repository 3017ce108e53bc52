"""The database as a whole: is it there, is it sound, is it up to date; and making it so.

Nothing here repairs by deleting: a file that is not understood stays where it is, and a sentence says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import Error, connection, connections

from orion_site.database_file import (
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
from orion_site.migration_files import Name, applied_migrations, known_migrations, missing_migrations, only_new_apps
from orion_site.sqlite.files import alone, damaged

__all__ = ["Change", "DatabaseUnusable", "Report", "check", "place", "prepare", "reset", "upgrade"]


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of the database. `problem` is None when it can be used."""

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
    """What an upgrade or a reset did."""

    place: str
    created: bool
    applied: tuple[str, ...]


def prepare() -> None:
    """Make the database usable at the start of a process, or raise DatabaseUnusable.

    A home without a database gets one. An existing database is never changed but for tables of apps that are new to it.
    """
    if is_new_home():
        create_alone(_migrate, say=True)
    refuse_what_is_not_there()
    refuse_empty_file()
    with _told_plainly():
        _reach_postgresql()
        missing = missing_migrations()
        if missing and only_new_apps(missing):
            _migrate()
            missing = missing_migrations()
    if problem := _behind(missing):
        raise DatabaseUnusable(problem)


def check(*, deep: bool = False) -> Report:
    """Look without changing anything; `deep` has the database verify its own pages and rows, which takes a while."""
    version = ""
    try:
        refuse_what_is_not_there()
        refuse_empty_file()
        with _told_plainly():
            _reach_postgresql()
            version = _version()
            missing, applied = missing_migrations(), applied_migrations() or set()
            # What a server adds at its start, without being asked to, leaves nothing to do.
            behind = [] if missing and only_new_apps(missing) else missing
            problem = _behind(behind) or (_broken_pages() if deep else None)
    except DatabaseUnusable as error:
        return Report(connection.vendor, place(), version, problem=str(error))
    known = set(known_migrations())
    installed = {app for app, _ in known}
    return Report(
        connection.vendor,
        place(),
        version,
        _spelled(missing or []),
        # Tables of a newer Orion are no problem: it only adds. Those of other programs are their own affair.
        _spelled(sorted(name for name in applied - known if name[0] in installed)),
        problem,
    )


def upgrade() -> Change:
    """Bring the database up to date; make it first if it is a SQLite file that does not exist."""
    if sqlite_file() is not None and not file_exists():
        before: list[Name] = known_migrations()
        create_alone(_migrate, say=False)
        return Change(place(), True, _spelled(before))
    refuse_what_is_not_there()
    with _told_plainly():
        _reach_postgresql()
    with _told_plainly(), _one_at_a_time():
        missing = missing_migrations()
        missing = known_migrations() if missing is None else missing
        if missing:
            _migrate()
    return Change(place(), False, _spelled(missing))


def reset() -> Change:
    """Delete everything that Orion stored and start with empty tables. Asking whether this is meant is the caller's."""
    if (file := sqlite_file()) is not None:
        delete_file(file)
    else:
        with _told_plainly():
            _drop_tables()
    return upgrade()


def place() -> str:
    """Where the database is, without its password."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return str(settings["NAME"])
    return f"{settings['NAME']} on {settings['HOST'] or 'the local socket'}"


@contextmanager
def _told_plainly() -> Iterator[None]:
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
        return f"The database {place()} is older than this Orion ({len(missing)} migrations behind); run {UPGRADE}."
    return None


def _migrate() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False, skip_checks=True)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two upgrades that start together would both create the same table."""
    if (file := sqlite_file()) is not None:
        with alone(file):
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_UPGRADE_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_UPGRADE_LOCK])


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
