"""The file of a SQLite database: created completely or not at all, refused with a sentence, never replaced."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from django.db import Error, connection

from orion_site.database.sqlite.files import DatabaseUnusable as DatabaseUnusable
from orion_site.database.sqlite.files import alone, damaged, found_no_room, is_first_look, looks_truncated
from orionflow import json_lines
from orionflow.private_files import make_private_folder

UPGRADE = "`orion database upgrade`"
# Pages in the WAL of a new database before it is written into the file.
PAGES_IN_LOG = 100


def no_tables(place: str) -> str:
    return f"The database {place} has no tables of Orion; create them with {UPGRADE}."


def sqlite_file() -> Path | None:
    """Return the file of a SQLite database on disk; None for other databases."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or name == ":memory:" or "mode=memory" in name:
        return None
    return Path(name).absolute()


def file_exists() -> bool:
    """Whether the database has its file, if it needs one. Raises DatabaseUnusable if that cannot be seen."""
    file = sqlite_file()
    try:
        return file is None or file.exists()
    except PermissionError as error:
        raise DatabaseUnusable(
            f"The folder of the database {file} is closed to this user of the machine; run this as its owner."
        ) from error


def is_new_home() -> bool:
    # A file at a configured path is not created automatically: the path may be a mistake, and a new file would hide the
    # old one.
    return not os.environ.get("ORION_DATABASE_URL") and not file_exists()


def refuse_what_is_not_there() -> None:
    """Raise DatabaseUnusable if the file of the database is missing, is not a file, or was cut off."""
    file = sqlite_file()
    if file is None:
        return
    if not file.exists():
        raise DatabaseUnusable(f"There is no database at {file}; create it with {UPGRADE}.")
    if not file.is_file():
        raise DatabaseUnusable(f"{file} is not a file; set ORION_HOME or ORION_DATABASE_URL to another place.")
    if is_first_look(file) and looks_truncated(file):
        raise DatabaseUnusable(damaged(str(file)))


def refuse_empty_file() -> None:
    # A connection would turn the empty file into a database.
    file = sqlite_file()
    if file is not None and file.stat().st_size == 0:
        raise DatabaseUnusable(no_tables(str(file)))


def refuse_lost_file() -> None:
    """Raise DatabaseUnusable if the file of a database that was in use is gone, or has no tables of Orion.

    The program has connections that still work; new ones do not.
    """
    refuse_what_is_not_there()
    file = sqlite_file()
    if file is None:
        return
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connected:
            tables = connected.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs_flowrun'").fetchall()
    except sqlite3.OperationalError:
        # The file is busy, or there is no room or permission: its connections report that.
        return
    except sqlite3.DatabaseError as error:
        raise DatabaseUnusable(damaged(str(file))) from error
    if not tables:
        raise DatabaseUnusable(no_tables(str(file)))


class FileInUse:
    """The database file that a program uses, to notice that it no longer exists.

    Open connections go on to work on a file that was removed, and all that is written to them is lost.
    """

    def __init__(self) -> None:
        # Assigned as one, because threads share it.
        self._known: tuple[str, tuple[int, int]] | None = None

    def refuse_another(self) -> None:
        """Raise DatabaseUnusable if the file was removed or replaced since the first call. Cheap: for each request."""
        if connection.vendor != "sqlite":
            return
        name = str(connection.settings_dict["NAME"])
        try:
            found = os.stat(name)
        except OSError:
            refuse_what_is_not_there()
            return
        known, seen = self._known, (name, (found.st_dev, found.st_ino))
        if known is None or name != known[0]:
            # Also another file of the test kit, which has one for each test.
            self._known = seen
        elif seen != known:
            refuse_lost_file()
            raise DatabaseUnusable(f"The database {name} was replaced while this program ran; start it again.")


def create_alone(make_tables: Callable[[], None], *, is_reported: bool) -> None:
    """Create the SQLite file under another name and rename it when complete, so that no process opens half of it."""
    file = sqlite_file()
    assert file is not None
    _make_folder(file.parent)
    with alone(file):
        if file.exists():
            return
        if Path(f"{file}-wal").exists():
            raise DatabaseUnusable(
                f"{file} is gone but its write-ahead log is still there; restore the file or move {file}-wal away."
            )
        # No other process creates a draft while this one holds the lock: these are from a process that was killed.
        for left in file.parent.glob(f"{file.name}.*.new*"):
            left.unlink(missing_ok=True)
        draft = file.with_name(f"{file.name}.{os.getpid()}.new")
        draft.touch(mode=0o600)
        _let_it_shrink(draft)
        try:
            with _connected_to(draft), connection.cursor() as cursor:
                # Limit the size of the WAL.
                cursor.execute(f"PRAGMA wal_autocheckpoint = {PAGES_IN_LOG}")
                make_tables()
                # Only the file is renamed, so it must contain the whole WAL. Closing would skip what does not fit on
                # the disk.
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            draft.rename(file)
        except Error as error:
            raise DatabaseUnusable(_why_not_made(file, error)) from error
        finally:
            for leftover in (draft, Path(f"{draft}-wal"), Path(f"{draft}-shm")):
                leftover.unlink(missing_ok=True)
    if is_reported:
        json_lines.print_line(f"Orion created its database at {file}.")


def _why_not_made(file: Path, error: Error) -> str:
    if found_no_room(error.__cause__):
        return f"The disk below {file} is too full for a database; make room there."
    return f"The database {file} could not be made: {error}."


def _let_it_shrink(draft: Path) -> None:
    """Prepare the file for incremental vacuum, which is possible only before the first table is created."""
    with closing(sqlite3.connect(draft)) as connected:
        connected.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connected.execute("VACUUM")


def _make_folder(folder: Path) -> None:
    try:
        make_private_folder(folder)
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


def delete_file(file: Path) -> None:
    connection.close()
    with alone(file):
        for path in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
            path.unlink(missing_ok=True)
