"""A SQLite file with ids of 32 characters becomes one with sixteen bytes, whole or not at all."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from orion_site.database import recorded_changes
from orion_site.database.conversion import converted, copy_ahead, drop_copy
from orion_site.database.file import DatabaseUnusable
from orion_site.database.sqlite.files import alone
from tests.homes import ready_home
from tests.rounds import THOROUGH
from tests.security.second_user import NOBODY
from tests.site.running import environment, orion

pytestmark = pytest.mark.slow

KEPT = Path(__file__).with_name("upgraded") / "orion.db.gz"
COMMAND = [str(Path(sys.executable).with_name("orion")), "database", "upgrade"]
LINES = 300_000
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another Unix user")


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


def convert(file: Path) -> None:
    """Do what an upgrade does before its migrations, which take most of its time."""
    with converted(file):
        pass


def fill(file: Path, lines: int = LINES) -> None:
    """Add lines until copying them takes a while."""
    asked(
        file,
        f"WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {lines}) "
        "INSERT INTO runs_log (id, created, name, level, message, timestamp) SELECT printf('%032x', n), "
        "'2026-01-01 00:00:00', 'a', 20, 'a line of a log', '2026-01-01 00:00:00' FROM number",
    )


def killed_while_copying(file: Path, *options: str) -> Path:
    """Kill an upgrade in the middle of the log; its draft, under another name too."""
    draft, link = file.with_name("orion.db.converted"), file.with_name("draft")
    upgrade = subprocess.Popen([*COMMAND, *options], env=environment(file.parent), stderr=subprocess.DEVNULL)
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
def test_an_upgrade_that_was_killed_continues_where_it_stopped(file: Path):
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
def test_rows_written_after_a_killed_upgrade_are_not_lost(file: Path):
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

    convert(file)

    assert file.is_symlink()
    assert kinds_of_ids(there) == {"blob"}
    assert asked(there, "PRAGMA integrity_check") == [("ok",)]
    assert asked(there, "PRAGMA foreign_key_check") == []
    assert not [*disk.glob("*.converted*"), *disk.glob("*-journal"), *file.parent.glob("orion.db?*journal")]


@pytest.mark.long
def test_a_file_that_others_have_open_is_left_as_it_is(file: Path):
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("SELECT COUNT(*) FROM runs_flow").fetchall()

        refused = orion(file.parent, "database", "upgrade")

    assert refused.returncode == 3
    assert "Other processes have the database" in refused.stderr
    assert kinds_of_ids(file) == {"text"}


def test_an_invalid_id_stops_the_upgrade_and_changes_nothing(file: Path):
    asked(file, "UPDATE runs_log SET id = 'no id' WHERE rowid = (SELECT MIN(rowid) FROM runs_log)")

    refused = orion(file.parent, "database", "upgrade")

    assert refused.returncode == 3
    assert "could not be rewritten, and is as it was" in refused.stderr
    assert kinds_of_ids(file) == {"text"}


def writing(file: Path, over: threading.Event, rng: random.Random) -> None:
    """Change rows in each way, until `over`: as a server of the earlier version does that works on."""
    new_line = "INSERT INTO runs_log (id, created, name, level, message, timestamp) VALUES (?, ?, 'a', 20, 'new', ?)"
    new_flow = "INSERT INTO runs_flow SELECT ?, created, updated, ?, tags FROM runs_flow WHERE id = ?"
    at = "2026-01-01 00:00:00"
    with closing(sqlite3.connect(file, isolation_level=None, timeout=60)) as database:
        while not over.is_set():
            database.execute("BEGIN IMMEDIATE")
            some = "(SELECT rowid FROM runs_log ORDER BY random() LIMIT 20)"
            database.execute(f"UPDATE runs_log SET message = 'changed' WHERE rowid IN {some}")
            database.execute(f"DELETE FROM runs_log WHERE rowid IN {some}")
            # The last numbers are given again.
            last = f"(SELECT rowid FROM runs_log ORDER BY rowid DESC LIMIT {rng.randrange(30)})"
            database.execute(f"DELETE FROM runs_log WHERE rowid IN {last}")
            new = [(f"{rng.getrandbits(128):032x}", at, at) for _ in range(rng.randrange(30))]
            database.executemany(new_line, new)
            # A name that must be unique goes to another row.
            ((old, name),) = database.execute("SELECT id, name FROM runs_flow ORDER BY random() LIMIT 1").fetchall()
            database.execute("UPDATE runs_flow SET name = 'before' WHERE id = ?", [old])
            new_id = f"{rng.getrandbits(128):032x}"
            database.execute(new_flow, [new_id, name, old])
            database.execute("UPDATE runs_flow SET name = ? WHERE id = ?", [f"moved-{new_id}", old])
            database.execute("COMMIT")
            # Some hundred changes are enough, and whoever copies gets its turn.
            over.wait(0.01)


def rows(file: Path) -> dict[str, list[tuple[object, ...]]]:
    return {
        "logs": asked(file, "SELECT rowid, lower(hex(id)), message FROM runs_log ORDER BY rowid"),
        "flows": asked(file, "SELECT rowid, lower(hex(id)), name FROM runs_flow ORDER BY rowid"),
    }


def test_copying_ahead_during_writes_gives_the_result_of_an_upgrade(file: Path):
    fill(file, 15_000 if THOROUGH else 5_000)
    asked(file, "PRAGMA journal_mode = WAL")
    over, seed = threading.Event(), random.randrange(10**6)
    writer = threading.Thread(target=writing, args=(file, over, random.Random(seed)))
    writer.start()

    ahead = orion(file.parent, "database", "upgrade", "--ahead")
    time.sleep(0.2)
    over.set()
    writer.join()
    asked(file, "PRAGMA wal_checkpoint(TRUNCATE)")
    assert ahead.returncode == 0, ahead.stderr
    assert kinds_of_ids(file) == {"text"}
    # Another home, where nothing was copied ahead.
    plain = file.parent / "plain" / "orion.db"
    plain.parent.mkdir(mode=0o700)
    shutil.copy(file, plain)
    draft = file.parent / "draft"
    os.link(file.with_name("orion.db.converted"), draft)
    upgraded = orion(file.parent, "database", "upgrade")
    convert(plain)

    assert upgraded.returncode == 0, upgraded.stderr
    assert os.path.samefile(file, draft)
    assert rows(file) == rows(plain), f"seed {seed}"
    assert asked(file, "SELECT name FROM sqlite_master WHERE name LIKE 'conversion%'") == []
    assert orion(file.parent, "database", "check", "--deep").returncode == 0


@pytest.mark.long
def test_copying_ahead_continues_where_it_was_killed(file: Path):
    fill(file)
    draft = killed_while_copying(file, "--ahead")
    asked(file, "DELETE FROM runs_log WHERE rowid % 5 = 0")
    asked(file, "UPDATE runs_log SET message = 'changed' WHERE rowid % 5 = 1")
    before = asked(file, "SELECT lower(id), message FROM runs_log ORDER BY id")

    again = orion(file.parent, "database", "upgrade", "--ahead")
    upgraded = orion(file.parent, "database", "upgrade")

    assert again.returncode == 0, again.stderr
    assert upgraded.returncode == 0, upgraded.stderr
    assert os.path.samefile(file, draft)
    assert asked(file, "SELECT lower(hex(id)), message FROM runs_log ORDER BY id") == before


@pytest.mark.long
def test_a_file_that_was_vacuumed_after_it_was_copied_ahead_is_copied_again(file: Path):
    """VACUUM changes the numbers of its rows."""
    fill(file, 1_000)
    asked(file, "DELETE FROM runs_log WHERE rowid % 3 = 0")
    assert orion(file.parent, "database", "upgrade", "--ahead").returncode == 0
    draft = file.parent / "draft"
    os.link(file.with_name("orion.db.converted"), draft)
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("VACUUM")
    before = asked(file, "SELECT lower(id) FROM runs_log ORDER BY id")

    convert(file)

    assert not os.path.samefile(file, draft)
    assert asked(file, "SELECT lower(hex(id)) FROM runs_log ORDER BY id") == before


@pytest.mark.parametrize(
    "other",
    [
        "DROP TABLE conversion_followed; CREATE TABLE conversion_followed (mark text, schema integer)",
        pytest.param("UPDATE conversion_followed SET mark = 'followed 999 abc'", marks=pytest.mark.long),
        pytest.param("UPDATE conversion_followed SET mark = 'followed abc'", marks=pytest.mark.long),
    ],
)
def test_a_copy_that_another_version_made_ahead_is_created_again(
    file: Path, other: str, capsys: pytest.CaptureFixture[str]
):
    copy_ahead(file)
    for sql in other.split(";"):
        asked(file, sql)
    before = asked(file, "SELECT lower(id) FROM runs_log ORDER BY id")

    convert(file)

    assert "Another version of Orion copied the database ahead" in capsys.readouterr().err
    assert asked(file, "SELECT lower(hex(id)) FROM runs_log ORDER BY id") == before
    assert asked(file, "SELECT name FROM sqlite_master WHERE name LIKE 'conversion%'") == []


@pytest.mark.long
def test_changes_of_many_days_are_taken_without_reading_them_into_memory(file: Path):
    fill(file, 1_000)
    copy_ahead(file)
    for number in range(200):
        asked(file, f"UPDATE runs_log SET message = 'change {number}'")
    changed = "SELECT lower({}), message FROM runs_log ORDER BY id"
    before = asked(file, changed.format("id"))
    ((noted,),) = asked(file, "SELECT COUNT(*) FROM conversion_changes")

    tracemalloc.start()
    copy_ahead(file)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    # Each of them the number of before and that of after.
    assert noted == 2 * 200 * len(before)
    assert most < 10 * noted
    assert asked(file.with_name("orion.db.converted"), changed.format("hex(id)")) == before
    assert asked(file, "SELECT COUNT(*) FROM conversion_changes") == [(0,)]


def test_a_new_file_need_not_be_copied_ahead(tmp_path: Path):
    ready_home(tmp_path)

    ahead = orion(tmp_path, "database", "upgrade", "--ahead")

    assert ahead.returncode == 0
    assert "need not be copied" in ahead.stderr


def test_changes_are_noted_up_to_a_bound_and_then_the_file_is_copied_again(file: Path, monkeypatch):
    monkeypatch.setattr(recorded_changes, "MOST_CHANGES", 500)
    fill(file, 1_000)
    copy_ahead(file)

    for number in range(3):
        asked(file, f"UPDATE runs_log SET message = 'change {number}'")

    ((noted,),) = asked(file, "SELECT COUNT(*) FROM conversion_changes")
    before = asked(file, "SELECT lower(id), message FROM runs_log ORDER BY id")
    assert noted <= 501
    convert(file)
    assert asked(file, "SELECT lower(hex(id)), message FROM runs_log ORDER BY id") == before


@pytest.mark.long
def test_changes_beyond_the_bound_are_copied_by_the_next_copy_too(file: Path, monkeypatch):
    monkeypatch.setattr(recorded_changes, "MOST_CHANGES", 500)
    fill(file, 1_000)
    copy_ahead(file)
    asked(file, "UPDATE runs_log SET message = 'changed'")

    copy_ahead(file)

    draft = file.with_name("orion.db.converted")
    changed = "SELECT lower({}), message FROM runs_log ORDER BY id"
    assert asked(draft, changed.format("hex(id)")) == asked(file, changed.format("id"))
    # And the notes begin again.
    asked(file, "UPDATE runs_log SET message = 'once more' WHERE rowid < 5")
    copy_ahead(file)
    assert asked(draft, changed.format("hex(id)")) == asked(file, changed.format("id"))


def test_the_copy_can_be_deleted_without_an_upgrade(file: Path):
    before = asked(file, "SELECT type, name, sql FROM sqlite_master ORDER BY name")
    assert orion(file.parent, "database", "upgrade", "--ahead").returncode == 0

    dropped, again = (orion(file.parent, "database", "upgrade", "--drop-copy") for _ in range(2))

    assert dropped.returncode == again.returncode == 0, dropped.stderr
    assert "Dropped the copy" in dropped.stderr
    assert "There is no copy" in again.stderr
    assert not file.with_name("orion.db.converted").exists()
    assert asked(file, "SELECT type, name, sql FROM sqlite_master ORDER BY name") == before


@pytest.mark.long
@only_root
def test_a_copy_made_by_root_belongs_to_the_owner(file: Path):
    """A server of another user than root finds its database, and may open it."""
    for one in (file.parent, file):
        os.chown(one, NOBODY, NOBODY)

    assert orion(file.parent, "database", "upgrade", "--ahead").returncode == 0
    by_root = {one.name: one.stat().st_uid for one in file.parent.glob("orion.db*")}
    assert orion(file.parent, "database", "upgrade").returncode == 0

    assert set(by_root.values()) == {NOBODY}, by_root
    assert {one.stat().st_uid for one in file.parent.glob("orion.db*")} == {NOBODY}


@contextmanager
def another_user() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@only_root
@pytest.mark.parametrize("act", [copy_ahead, drop_copy])
@pytest.mark.parametrize("is_open", [True, False], ids=["in an open folder", "in a closed folder"])
def test_another_user_learns_who_owns_the_database(file: Path, act: Callable[[Path], bool], is_open: bool):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777 if is_open else 0o700)
        found = Path(shutil.copy(file, folder))
        found.chmod(0o666)

        with another_user(), pytest.raises(DatabaseUnusable, match="belongs to the user 'root'; run this as that user"):
            act(found)

        assert os.listdir(folder) == [found.name]


@only_root
def test_a_lock_of_another_user_is_named(file: Path):
    with tempfile.TemporaryDirectory() as folder:
        for one in (Path(folder), found := Path(shutil.copy(file, folder))):
            os.chown(one, NOBODY, NOBODY)
        Path(f"{found}.lock").touch(mode=0o600)

        refused = pytest.raises(DatabaseUnusable, match="orion.db.lock cannot be written: .+ 'root'")
        with another_user(), refused, alone(found):
            pass


@pytest.mark.long
@only_root
def test_a_copy_that_root_made_for_itself_is_created_again(file: Path):
    """Earlier versions left such files to root."""
    with tempfile.TemporaryDirectory() as folder:
        for one in (Path(folder), found := Path(shutil.copy(file, folder))):
            os.chown(one, NOBODY, NOBODY)
        copy_ahead(found)
        os.chown(f"{found}.converted", 0, 0)

        with another_user():
            assert copy_ahead(found)

        assert Path(f"{found}.converted").stat().st_uid == NOBODY
