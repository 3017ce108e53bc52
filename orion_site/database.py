"""The database as a whole: is it there, is it sound, is it up to date; and making it so.

Nothing here repairs by deleting: a file that is not understood stays where it is, and a sentence says what to do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.db import Error, connection, connections

from orion_site.migration_files import Name, applied_migrations, known_migrations, missing_migrations, only_new_apps
from orion_site.sqlite.files import alone, looks_truncated

UPGRADE = "`orion database upgrade`"


class DatabaseUnusable(RuntimeError):
    """The database cannot be used as it is; the message says why and what to do, in one sentence."""

    # By this the SDK, which never imports the server, knows whose sentence it is passing on.
    code = "database_unusable"


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
    if _is_new_home():
        _create_alone(say=True)
    _refuse_what_is_not_there()
    with _told_plainly():
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
        _refuse_what_is_not_there()
        with _told_plainly():
            version = _version()
            missing, applied = missing_migrations(), applied_migrations() or set()
            problem = _behind(missing) or (_broken_pages() if deep else None)
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
    if _file() is not None and not _exists():
        before: list[Name] = known_migrations()
        _create_alone(say=False)
        return Change(place(), True, _spelled(before))
    _refuse_what_is_not_there()
    with _told_plainly(), _one_at_a_time():
        missing = missing_migrations()
        missing = known_migrations() if missing is None else missing
        if missing:
            _migrate()
    return Change(place(), False, _spelled(missing))


def reset() -> Change:
    """Delete everything that Orion stored and start with empty tables. Asking whether this is meant is the caller's."""
    if (file := _file()) is not None:
        connection.close()
        with alone(file):
            for path in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
                path.unlink(missing_ok=True)
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


# --- SQLite files ------------------------------------------------------------------------------------------------


def _file() -> Path | None:
    """The file of a SQLite database on disk."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or name == ":memory:" or "mode=memory" in name:
        return None
    return Path(name).absolute()


def _exists() -> bool:
    file = _file()
    return file is None or file.exists()


def _is_new_home() -> bool:
    # A path that somebody typed is not created in passing: it may be a slip, and a new file would hide the old one.
    return not os.environ.get("ORION_DATABASE_URL") and not _exists()


def _refuse_what_is_not_there() -> None:
    file = _file()
    if file is None:
        return
    if not file.exists():
        raise DatabaseUnusable(f"There is no database at {file}; create it with {UPGRADE}.")
    if not file.is_file():
        raise DatabaseUnusable(f"{file} is not a file; set ORION_HOME or ORION_DATABASE_URL to another place.")
    if looks_truncated(file):
        from orion_site.sqlite.base import damaged

        raise DatabaseUnusable(damaged(str(file)))


def _create_alone(*, say: bool) -> None:
    """Make the SQLite file under another name and move it into place whole: nobody ever opens half a database."""
    file = _file()
    assert file is not None
    _make_folder(file.parent)
    with alone(file):
        if file.exists():
            return
        if Path(f"{file}-wal").exists():
            raise DatabaseUnusable(
                f"{file} is gone but its write-ahead log is still there; restore the file or move {file}-wal away."
            )
        draft = file.with_name(f"{file.name}.{os.getpid()}.new")
        draft.touch(mode=0o600)
        try:
            with _connected_to(draft):
                _migrate()
            draft.rename(file)
        finally:
            for leftover in (draft, Path(f"{draft}-wal"), Path(f"{draft}-shm")):
                leftover.unlink(missing_ok=True)
    if say:
        print(f"Orion created its database at {file}.", file=sys.stderr, flush=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnusable(
            f"The folder {folder} cannot be made ({error.strerror}); set ORION_HOME to a place that you can write to."
        ) from error


@contextmanager
def _connected_to(path: Path) -> Iterator[None]:
    settings = connection.settings_dict
    name = settings["NAME"]
    connection.close()
    settings["NAME"] = str(path)
    try:
        yield
    finally:
        connection.close()
        settings["NAME"] = name


# --- both databases ----------------------------------------------------------------------------------------------


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Turn what the driver says into one sentence."""
    try:
        yield
    except Error as error:
        connections.close_all()
        raise DatabaseUnusable(_plainly(str(error).strip().splitlines()[0])) from error


def _plainly(said: str) -> str:
    if (file := _file()) is not None:
        from orion_site.sqlite.base import damaged

        if "malformed" in said or "not a database" in said:
            return damaged(str(file))
        return said if str(file) in said else f"The database {file} cannot be used: {said}."
    return f"PostgreSQL cannot be used ({place()}): {said}."


def _behind(missing: list[Name] | None) -> str | None:
    if missing is None:
        return f"The database {place()} has no tables of Orion; create them with {UPGRADE}."
    if missing:
        return f"The database {place()} is older than this Orion ({len(missing)} migrations behind); run {UPGRADE}."
    return None


def _migrate() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False, skip_checks=True)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two upgrades that start together would both create the same table."""
    if (file := _file()) is not None:
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
    if connection.vendor == "sqlite":
        return ".".join(str(part) for part in connection.get_database_version())
    return str(connection.pg_version)


def _spelled(names: list[Name]) -> tuple[str, ...]:
    return tuple(f"{app}.{name}" for app, name in names)
