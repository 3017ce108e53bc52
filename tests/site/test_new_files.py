"""A new SQLite file has what the migrations would have made, one after the other."""

from __future__ import annotations

import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from tests.site.running import environment, orion

ROOT = Path(__file__).parents[2]
EMBEDDED = "orion_site.settings_embedded"
MIGRATED = """
import django; django.setup()
from orion_site.database.migrating import migrate
migrate()
"""
MADE = """
import django; django.setup()
from orion_site.database.lifecycle import upgrade
upgrade()
"""


def run(code: str, home: Path, settings: str) -> None:
    words = [sys.executable, "-W", "ignore", "-c", code]
    where = environment(home, DJANGO_SETTINGS_MODULE=settings, PYTHONPATH=str(ROOT))
    warm.run(words, env=where, check=True, cwd=ROOT)


def contents(file: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(file)) as database:
        objects = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        tables = [name for kind, name, _, _ in objects if kind == "table" and not name.startswith("sqlite_")]
        return {
            "tables": {name: table(database, name) for name in tables},
            "checks": {name: checks(sql) for kind, name, _, sql in objects if kind == "table" and name in tables},
            "statistics": {name for kind, name, _, _ in objects if kind == "table" and name.startswith("sqlite_stat")},
            "others": {(kind, name, on, normalised(sql)) for kind, name, on, sql in objects if kind != "table" and sql},
            "unique": {name: unique(database, name) for name in tables},
            "migrations": set(database.execute("SELECT app, name FROM django_migrations")),
            "rows": {name: database.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0] for name in tables},
        }


def table(database: sqlite3.Connection, name: str) -> tuple[Any, ...]:
    """Columns and references; which column comes first means nothing."""
    columns = {row[1:] for row in database.execute(f'PRAGMA table_info("{name}")')}
    return columns, {row[2:] for row in database.execute(f'PRAGMA foreign_key_list("{name}")')}


def unique(database: sqlite3.Connection, name: str) -> set[tuple[str, ...]]:
    found = database.execute(f'PRAGMA index_list("{name}")').fetchall()
    indexes = [index for _, index, is_unique, *_ in found if is_unique]
    return {tuple(column for _, _, column in database.execute(f'PRAGMA index_info("{one}")')) for one in indexes}


def checks(sql: str) -> set[str]:
    """The conditions of a table, without parentheses: migrations have put some around what is joined by OR anyway."""
    found = set()
    for begins in re.finditer(r"\bCHECK\s*\(", sql):
        depth, end = 1, begins.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(sql[end], 0)
            end += 1
        found.add(normalised(re.sub("[()]", "", sql[begins.end() : end - 1])))
    return found


def normalised(sql: str) -> str:
    return " ".join(sql.replace('"', "").split())


@pytest.mark.parametrize("settings", ["orion_site.settings", pytest.param(EMBEDDED, marks=pytest.mark.long)])
def test_it_is_as_if_every_migration_had_been_applied(tmp_path: Path, settings: str):
    made, migrated = tmp_path / "made", tmp_path / "migrated"
    for home, code in ((made, MADE), (migrated, MIGRATED)):
        home.mkdir()
        if code == MIGRATED:
            # The backend never makes a file in passing.
            (home / "orion.db").touch(mode=0o600)
        run(code, home, settings)

    new, old = contents(made / "orion.db"), contents(migrated / "orion.db")

    for part in old:
        assert new[part] == old[part], part


def test_a_file_that_a_program_made_is_completed_by_a_server(tmp_path: Path):
    run(MADE, tmp_path, EMBEDDED)

    assert orion(tmp_path, "database", "check").returncode == 0
    assert orion(tmp_path, "database", "upgrade").returncode == 0
    assert orion(tmp_path, "database", "verify").returncode == 0
