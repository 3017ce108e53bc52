"""A complete copy of a SQLite database while servers write to it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from django.db import connection

from orion_site.database.lifecycle import DatabaseUnusable, place


class BackupRefused(ValueError):
    """A backup cannot be created at the requested path; the message says why and what to do."""


def backup(target: Path) -> int:
    """Copy the database to `target`, which must not exist. Return the size in bytes.

    Raises FileExistsError, BackupRefused, or DatabaseUnusable.
    """
    if connection.vendor != "sqlite":
        raise BackupRefused(
            f"{place()} is not a file; PostgreSQL makes its own copies: pg_dump --format=custom --file={target} …"
        )
    if target.exists():
        raise FileExistsError(f"{target} exists already; a backup never replaces anything.")
    if not target.absolute().parent.is_dir():
        raise BackupRefused(f"{target.absolute().parent} is not a folder.")
    # It gets its name only when it is complete.
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        _copy(unfinished)
        os.rename(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target.stat().st_size


def _copy(target: Path) -> None:
    connection.ensure_connection()
    copy = sqlite3.connect(target)
    os.chmod(target, 0o600)
    try:
        # All pages in one step, which reads a snapshot, while others write to the WAL. Between two steps SQLite would
        # notice what they wrote, and begin again: on a busy server it would not come to an end.
        connection.connection.backup(copy)
        if (verdict := copy.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise DatabaseUnusable(f"The copy is not sound: {verdict}")
    finally:
        copy.close()
