"""A SQLite file with ids of 32 characters becomes one with sixteen bytes, whole or not at all."""

from __future__ import annotations

import gzip
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.site.running import environment, orion

pytestmark = pytest.mark.slow

KEPT = Path(__file__).with_name("upgraded") / "orion.db.gz"
COMMAND = [str(Path(sys.executable).with_name("orion")), "database", "upgrade"]
LINES = 300_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of an earlier version."""
    file = tmp_path / "orion.db"
    file.write_bytes(gzip.decompress(KEPT.read_bytes()))
    return file


def asked(file: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as database, database:
        return database.execute(sql).fetchall()


def kinds_of_ids(file: Path) -> set[object]:
    return {
        kind
        for (kind,) in asked(file, "SELECT typeof(id) FROM runs_log UNION SELECT typeof(flow_id) FROM runs_flowrun")
    }


def fill(file: Path) -> None:
    """Add so many lines that to copy them takes a while."""
    asked(
        file,
        f"WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {LINES}) "
        "INSERT INTO runs_log (id, created, name, level, message, timestamp) SELECT printf('%032x', n), "
        "'2026-01-01 00:00:00', 'a', 20, 'a line of a log', '2026-01-01 00:00:00' FROM number",
    )


def killed_while_copying(file: Path) -> Path:
    """Kill an upgrade in the middle of the log; its draft, under another name too."""
    draft, link = file.with_name("orion.db.converted"), file.with_name("draft")
    upgrade = subprocess.Popen(COMMAND, env=environment(file.parent), stderr=subprocess.DEVNULL)
    try:
        while not (draft.exists() and draft.stat().st_size > 12_000_000):
            assert upgrade.poll() is None, "it was done before it could be killed"
            time.sleep(0.002)
    finally:
        upgrade.send_signal(signal.SIGKILL)
        upgrade.wait()
    os.link(draft, link)
    return link


@pytest.mark.long
def test_an_upgrade_that_was_killed_goes_on_where_it_stopped(file: Path):
    fill(file)
    draft = killed_while_copying(file)
    # By its own name, by which what was not finished is rolled back.
    ((copied,),) = asked(file.with_name("orion.db.converted"), "SELECT COUNT(*) FROM runs_log")
    assert 0 < copied < LINES  # type: ignore[operator]
    assert kinds_of_ids(file) == {"text"}

    again = orion(file.parent, "database", "upgrade")

    assert again.returncode == 0, again.stderr
    assert os.path.samefile(file, draft)
    assert kinds_of_ids(file) == {"blob"}
    assert asked(file, "SELECT COUNT(*) >= 300000, COUNT(DISTINCT id) = COUNT(*) FROM runs_log") == [(1, 1)]
    assert orion(file.parent, "database", "check", "--deep").returncode == 0
    assert not list(file.parent.glob("*.converted*"))


@pytest.mark.long
def test_what_was_written_after_an_upgrade_was_killed_is_not_lost(file: Path):
    fill(file)
    draft = killed_while_copying(file)
    asked(file, "UPDATE runs_flow SET name = 'renamed meanwhile' WHERE id = (SELECT MIN(id) FROM runs_flow)")

    again = orion(file.parent, "database", "upgrade")

    assert again.returncode == 0, again.stderr
    assert not os.path.samefile(file, draft)
    assert asked(file, "SELECT COUNT(*) FROM runs_flow WHERE name = 'renamed meanwhile'") == [(1,)]


def test_a_file_behind_a_link_stays_where_it_is(file: Path):
    disk = file.parent / "large disk"
    disk.mkdir()
    there = file.rename(disk / "orion-of-team.db")
    file.symlink_to(there)

    upgrade = orion(file.parent, "database", "upgrade")

    assert upgrade.returncode == 0, upgrade.stderr
    assert file.is_symlink()
    assert kinds_of_ids(there) == {"blob"}
    assert orion(file.parent, "database", "check", "--deep").returncode == 0
    assert not [*disk.glob("*.converted*"), *disk.glob("*-journal"), *file.parent.glob("orion.db?*journal")]


def test_a_file_that_others_have_open_is_left_as_it_is(file: Path):
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("SELECT COUNT(*) FROM runs_flow").fetchall()

        refused = orion(file.parent, "database", "upgrade")

    assert refused.returncode == 3
    assert "Other processes have the database" in refused.stderr
    assert kinds_of_ids(file) == {"text"}


def test_an_id_that_is_none_stops_the_upgrade_and_changes_nothing(file: Path):
    asked(file, "UPDATE runs_log SET id = 'no id' WHERE rowid = (SELECT MIN(rowid) FROM runs_log)")

    refused = orion(file.parent, "database", "upgrade")

    assert refused.returncode == 3
    assert "could not be rewritten, and is as it was" in refused.stderr
    assert kinds_of_ids(file) == {"text"}
