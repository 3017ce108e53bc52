"""The SQLite file, read with Python's own driver and without writing.

It must be readable even if the server cannot open it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from orionflow.cli.doctor import Finding, size

# Bytes. The pages of a larger file are read only with --deep.
READ_WHOLE_BELOW = 50_000_000


def database(*, deep: bool) -> Iterator[Finding]:
    from orionflow.settings import current_settings

    settings = current_settings()
    if settings.api_url:
        yield Finding("database", "ok", "belongs to the server; its own `orion doctor` examines it")
        return
    yield from _seals()
    path = sqlite_path(os.environ.get("ORION_DATABASE_URL"), settings.home)
    if path is None:
        yield Finding("database", "ok", "on PostgreSQL; the API says below whether it can be used")
    elif not path.exists():
        yield Finding("database", "ok", f"{path} will be made by the first run")
    else:
        yield from _file(path, deep=deep)


def _seals() -> Iterator[Finding]:
    """Yield invalid keys, and secrets that no key decrypts, before a flow fails because of them."""
    from orionflow.cli.root import plugin_command

    look = getattr(plugin_command("database"), "problem_of_seals", None)
    if look is None or not (os.environ.get("ORION_DATABASE_URL") or _home_has_database()):
        return
    try:
        problem = look()
    except Exception as error:
        # An unusable database is reported elsewhere; only errors about keys are reported here.
        if "ENCRYPTION" in str(error):
            yield Finding("secrets", "problem", str(error), "set ORION_ENCRYPTION_KEYS to keys of Fernet, by comma")
        return
    if problem:
        text, fix = problem
        yield Finding("secrets", "problem", text, fix)


def _home_has_database() -> bool:
    from orionflow.settings import current_settings

    return (current_settings().home / "orion.db").exists()


def sqlite_path(url: str | None, home: Path) -> Path | None:
    """Return the database file; None if the database is not SQLite."""
    if not url:
        return home / "orion.db"
    parts = urlsplit(url)
    return Path(unquote(parts.path)[1:]) if parts.scheme.startswith("sqlite") else None


def _file(path: Path, *, deep: bool) -> Iterator[Finding]:
    length = path.stat().st_size
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)
        try:
            yield from _facts(connection, path, length, deep=deep)
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        yield Finding(
            "database",
            "problem",
            f"{path}: {error}",
            "restore a copy, or orion database reset (which deletes all runs)",
        )


def _facts(connection: sqlite3.Connection, path: Path, length: int, *, deep: bool) -> Iterator[Finding]:
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    text = f"{path}, {size(length)}, journal {mode}, SQLite {sqlite3.sqlite_version}"
    if mode != "wal":
        yield Finding("database", "warning", f"{text}: readers and writers block each other", "orion database upgrade")
    else:
        yield Finding("database", "ok", text)
    if deep or length < READ_WHOLE_BELOW:
        yield _whole(connection)
    yield from _write_ahead_log(path)


def _whole(connection: sqlite3.Connection) -> Finding:
    # Not `integrity_check`, which also compares every index with its rows, and takes many times as long.
    verdict = connection.execute("PRAGMA quick_check(3)").fetchall()
    if verdict == [("ok",)]:
        return Finding("database", "ok", "its pages are sound")
    return Finding("database", "problem", f"damaged: {verdict[0][0]}", "restore a copy")


def _write_ahead_log(path: Path) -> Iterator[Finding]:
    log = path.with_name(path.name + "-wal")
    # SQLite starts the log again after a checkpoint, unless a reader still needs what it has.
    if log.exists() and log.stat().st_size > 500_000_000:
        fix = "end programs that keep it open, then orion database check"
        yield Finding("database", "warning", f"{log} has grown to {size(log.stat().st_size)}", fix)
