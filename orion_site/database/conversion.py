"""Conversion of SQLite files that store ids as texts of 32 digits to ids of sixteen bytes (decision 0055).

The new file is filled next to the old one, table by table, with a transaction for each chunk of rows, and replaces the
old one by a rename when it is complete and verified. If the process is killed, the old file is unchanged, and the next
upgrade continues the copy, unless the old file was written in between. A server may work on the old file while most of
it is copied (`copy_ahead`): triggers in the old file record changed rows, which are then copied again. The upgrade only
has to copy the last ones.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from orion_site.database.file import UPGRADE, DatabaseUnusable
from orion_site.database.recorded_changes import (
    CHANGES,
    follow,
    followed_draft,
    forget,
    stop_following,
    tables_in,
    waiting,
)
from orion_site.database.sqlite.files import found_no_room, owners_opener, refuse_another_user

# The type that Django declared for UUIDs on SQLite.
TEXT_ID = "char(32)"
_DECLARED = re.compile(r"\bchar\(32\)", re.IGNORECASE)
ROWS_AT_ONCE = 20_000
# Copying ahead stops when at most FEW_CHANGES are left for the upgrade, or after MOST_ROUNDS, if the file changes
# faster than it is copied.
FEW_CHANGES, MOST_ROUNDS = 1_000, 20
SECONDS_BETWEEN_WORDS = 5.0


@contextmanager
def converted(file: Path) -> Iterator[None]:
    """Convert the file to ids of sixteen bytes if needed; keep the old file locked until the block ends.

    Raises DatabaseUnusable. The caller must hold the lock `alone`, and have no connection to the file.
    """
    if not has_text_ids(file):
        yield
        return
    # A symbolic link stays one, and the new file is created on the disk of the old one.
    file = file.resolve()
    refuse_another_user(file)
    with closing(_connect(file)) as database:
        try:
            _keep_others_out(database, file)
            draft = _draft_of(file)
            _refuse_without_room(file, draft)
            _Conversion(database, file, followed_draft(database) or _mark(file)).run()
            # The locked old file keeps an empty journal, whose name would be that of the new file's journal.
            Path(f"{file}-journal").unlink(missing_ok=True)
            os.rename(draft, file)
        except sqlite3.Error as error:
            raise DatabaseUnusable(_why_not(file, error)) from error
        yield


def copy_ahead(file: Path) -> bool:
    """Copy the file while others write to it. Return False if it contains no text ids. Raises DatabaseUnusable.

    If it is interrupted, the next call continues.
    """
    file = file.resolve()
    refuse_another_user(file)
    if not has_text_ids(file):
        return False
    with closing(_connect(file, timeout=60)) as database:
        try:
            _refuse_without_room(file, _draft_of(file))
            mark = followed_draft(database) or follow(database)
            _Conversion(database, file, mark).run_ahead()
        except sqlite3.Error as error:
            raise DatabaseUnusable(_why_not(file, error)) from error
    return True


def drop_copy(file: Path) -> bool:
    """Delete the copy, and stop recording changes. Return False if there was neither. Raises DatabaseUnusable."""
    file = file.resolve()
    refuse_another_user(file)
    draft = _draft_of(file)
    was_there = draft.exists()
    with closing(_connect(file, timeout=60)) as database:
        try:
            is_followed = stop_following(database)
        except sqlite3.Error as error:
            raise DatabaseUnusable(f"The copy of {file} could not be dropped: {error}.") from error
    _delete(draft)
    return was_there or is_followed


def _delete(draft: Path) -> None:
    for left in (draft, Path(f"{draft}-journal")):
        try:
            left.unlink(missing_ok=True)
        except PermissionError as error:
            raise DatabaseUnusable(f"{left} belongs to another user; delete it, and run this again.") from error


def _draft_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.converted")


def has_text_ids(file: Path) -> bool:
    try:
        with closing(_connect(file)) as database:
            tables = database.execute("SELECT sql FROM sqlite_master WHERE type = 'table'").fetchall()
    except sqlite3.Error:
        # The next code that opens the file reports the error.
        return False
    return any(_DECLARED.search(sql) for (sql,) in tables)


def _connect(file: Path, timeout: float = 5.0) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, isolation_level=None, timeout=timeout)


def _keep_others_out(database: sqlite3.Connection, file: Path) -> None:
    """Lock the file, and remove its WAL: a process with an open connection would continue to write to the old file."""
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    try:
        (mode,) = database.execute("PRAGMA journal_mode = DELETE").fetchone()
        database.execute("BEGIN EXCLUSIVE")
        database.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if found_no_room(error) or "locked" not in str(error):
            raise
        mode = "locked"
    if mode != "delete":
        raise DatabaseUnusable(
            f"Other processes have the database {file} open, which is to be rewritten; stop servers, services, agents "
            f"and programs of Orion, then run {UPGRADE} again."
        )


def _refuse_without_room(file: Path, draft: Path) -> None:
    # Indexes are sorted in temporary files, most of which are smaller than the space that shorter ids save.
    wanted = file.stat().st_size - (draft.stat().st_size if draft.exists() else 0)
    free = shutil.disk_usage(file.parent).free
    if free < wanted:
        raise DatabaseUnusable(
            f"The database {file} is rewritten as a copy next to it, which needs {wanted / 1e6:,.0f} MB; there are "
            f"{free / 1e6:,.0f} MB left. Make room there, then run {UPGRADE} again."
        )


def _mark(file: Path) -> str:
    """Return a text that changes with every write to the file, which has no WAL."""
    status = file.stat()
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def _why_not(file: Path, error: sqlite3.Error) -> str:
    if found_no_room(error):
        return f"The disk below {file} is too full to rewrite the database; make room there and run {UPGRADE} again."
    return f"The database {file} could not be rewritten, and is as it was: {error}."


def _id_of_text(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


class _Conversion:
    """Fills the draft. `database` is the old file; the draft is attached to it as `new`."""

    def __init__(self, database: sqlite3.Connection, file: Path, mark: str) -> None:
        self._database, self._file, self._draft, self._mark = database, file, _draft_of(file), mark
        self._tables = tables_in(database)
        indexes = database.execute("SELECT name, sql FROM main.sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        self._indexes = dict(indexes.fetchall())
        self._is_followed = mark.startswith("followed ")
        self._reported_at = time.monotonic()

    def run(self) -> None:
        """Copy the rest, while the file is locked."""
        self._copy()
        self._verify()
        self._database.execute("DROP TABLE new.conversion")
        self._database.execute("DETACH new")

    def run_ahead(self) -> None:
        """Copy the file, then rows that changed in the meantime, until few are left."""
        self._copy()
        for _ in range(MOST_ROUNDS):
            if self._take_changes() <= FEW_CHANGES:
                break
        if not self._is_sound():
            self._check_pages()
            self._database.execute("UPDATE new.conversion SET sound = 1")
        self._database.execute("DETACH new")

    def _copy(self) -> None:
        self._database.create_function("id_of_text", 1, _id_of_text, deterministic=True)
        # Sorting an index needs as much space as the index.
        self._database.execute("PRAGMA temp_store = FILE")
        if not self._attach_draft():
            self._begin()
        for number, table in enumerate(self._tables, 1):
            self._fill(table, number)
        there = {name for (name,) in self._database.execute("SELECT name FROM new.sqlite_master")}
        for name in self._indexes.keys() - there:
            self._report(f"Rewriting the database: index {name}.")
            self._database.execute(re.sub(r"^CREATE (UNIQUE )?INDEX ", r"CREATE \1INDEX new.", self._indexes[name]))
        if self._is_followed:
            self._take_changes()

    def _take_changes(self, and_then: Callable[[], object] = lambda: None) -> int:
        """Copy changed rows again, then call `and_then` in the same transaction. Return the number of changes."""
        self._database.execute("BEGIN")
        last, number = waiting(self._database)
        names = self._database.execute(f"SELECT DISTINCT name FROM main.{CHANGES}").fetchall()
        copied = {table: self._last_copied(table) for (table,) in names}
        # Let SQLite read the recorded rows: days after the file was copied ahead there may be millions.
        noted = f"rowid IN (SELECT row FROM main.{CHANGES} WHERE name = ?)"
        for table in copied:
            # Delete all before inserting any, because a unique value may have moved from one row to another.
            self._database.execute(f'DELETE FROM new."{table}" WHERE {noted}', [table])
        for table, most in copied.items():
            self._database.execute(f"{self._copying(table)} WHERE rowid <= ? AND {noted}", [most, table])
        and_then()
        self._database.execute("COMMIT")
        if number:
            # After the draft was committed: copying a row twice does no harm.
            forget(self._database, last)
        return number

    def _last_copied(self, table: str) -> int:
        (row,) = self._database.execute(f'SELECT COALESCE(MAX(rowid), -1) FROM new."{table}"').fetchone()
        return int(row)

    def _attach(self) -> None:
        open(self._draft, "ab", opener=owners_opener(self._file)).close()
        self._database.execute("ATTACH ? AS new", [f"file:{quote(str(self._draft))}?mode=rw"])

    def _attach_draft(self) -> bool:
        """Whether there is a draft of this file to continue."""
        # A draft of another user, from before drafts of root were given to the owner, is started again.
        if not os.access(self._draft, os.R_OK | os.W_OK, effective_ids=True):
            return False
        self._attach()
        try:
            if self._database.execute("SELECT mark FROM new.conversion").fetchall() == [(self._mark,)]:
                return True
        except sqlite3.DatabaseError:
            pass
        self._database.execute("DETACH new")
        return False

    def _begin(self) -> None:
        _delete(self._draft)
        self._attach()
        self._database.execute("PRAGMA new.auto_vacuum = INCREMENTAL")
        self._database.execute("BEGIN")
        for sql in self._tables.values():
            typed = _DECLARED.sub("blob", sql)
            self._database.execute(re.sub(r"^CREATE TABLE ", "CREATE TABLE new.", typed))
        self._database.execute("CREATE TABLE new.conversion (mark text, sound integer)")
        self._database.execute("INSERT INTO new.conversion VALUES (?, 0)", [self._mark])
        self._copy_statistics()
        self._database.execute("COMMIT")

    def _copy_statistics(self) -> None:
        """Copy the planner's statistics, which say how common values are."""
        known = {name for (name,) in self._database.execute("SELECT name FROM main.sqlite_master")}
        if "sqlite_stat1" in known:
            self._database.execute("ANALYZE new")
            self._database.execute("DELETE FROM new.sqlite_stat1")
            self._database.execute("INSERT INTO new.sqlite_stat1 SELECT * FROM main.sqlite_stat1")

    def _copying(self, table: str) -> str:
        """Return the statement that copies rows with their row numbers, up to its WHERE."""
        columns = self._database.execute(f'PRAGMA main.table_info("{table}")').fetchall()
        # An integer primary key is the row number itself.
        is_numbered = any(kind.lower() == "integer" and key for _, _, kind, _, _, key in columns)
        names = ["rowid"] * (not is_numbered) + [f'"{name}"' for _, name, *_ in columns]
        values = ["rowid"] * (not is_numbered) + [
            f'id_of_text("{name}")' if kind.lower() == TEXT_ID else f'"{name}"' for _, name, kind, *_ in columns
        ]
        return f'INSERT INTO new."{table}" ({", ".join(names)}) SELECT {", ".join(values)} FROM main."{table}"'

    def _fill(self, table: str, number: int) -> None:
        """Copy rows in the order of their numbers, which they keep: so the last one shows how far the copy came."""
        copied = f"{self._copying(table)} WHERE rowid > ? ORDER BY rowid LIMIT {ROWS_AT_ONCE}"
        (last,) = self._database.execute(f'SELECT COALESCE(MAX(rowid), -1) FROM main."{table}"').fetchone()

        def copy() -> None:
            self._database.execute(copied, [self._last_copied(table)])

        while (done := self._last_copied(table)) < last:
            if self._is_followed:
                self._take_changes(copy)
            else:
                copy()
            if self._last_copied(table) <= done:
                # The last rows were deleted in the meantime.
                return
            self._report(
                f"Rewriting the database: table {number} of {len(self._tables)}, {table}, "
                f"row {max(done, 0):,} of {last:,}."
            )

    def _report(self, words: str) -> None:
        if time.monotonic() - self._reported_at > SECONDS_BETWEEN_WORDS:
            self._reported_at = time.monotonic()
            print(words, file=sys.stderr, flush=True)

    def _verify(self) -> None:
        for table in self._tables:
            counts = self._database.execute(
                f'SELECT (SELECT COUNT(*) FROM main."{table}"), (SELECT COUNT(*) FROM new."{table}")'
            ).fetchone()
            if counts[0] != counts[1]:
                raise sqlite3.DatabaseError(f"{table} has {counts[0]:,} rows, and the new file {counts[1]:,}")
        if "sqlite_sequence" in {name for (name,) in self._database.execute("SELECT name FROM main.sqlite_master")}:
            self._database.execute("DELETE FROM new.sqlite_sequence")
            names = ", ".join(map(repr, self._tables))
            self._database.execute(
                f"INSERT INTO new.sqlite_sequence SELECT * FROM main.sqlite_sequence WHERE name IN ({names})"
            )
        if not self._is_sound():
            self._check_pages()

    def _is_sound(self) -> bool:
        """Whether all pages were checked when the file was copied ahead; few have changed since."""
        return bool(self._database.execute("SELECT sound FROM new.conversion").fetchone()[0])

    def _check_pages(self) -> None:
        (verdict,) = self._database.execute("PRAGMA new.quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"the new file is not sound: {verdict}")
