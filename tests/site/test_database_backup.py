"""`orion database backup`: a whole copy while somebody writes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests import warm
from tests.site.test_database import in_a_process

pytestmark = pytest.mark.skipif(os.environ.get("ORION_TEST_DATABASE") == "postgresql", reason="runs with SQLite")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    assert in_a_process(home).returncode == 0
    return home


def back_up(home: Path, file: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return orion_database(home, "backup", str(file), **environment)


def orion_database(home: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "DJANGO_"))}
    return warm.run(
        [sys.executable, "-m", "orionflow.cli", "database", *words],
        env={**kept, "ORION_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def write_flows(database: Path, begun: threading.Event, stop: threading.Event) -> None:
    """A transaction after the other, each of two rows."""
    connection = sqlite3.connect(database, timeout=20, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    number = 0
    while not stop.is_set():
        connection.execute("BEGIN IMMEDIATE")
        for half in "ab":
            connection.execute(
                "INSERT INTO runs_flow (id, name, tags, created, updated) "
                "VALUES (?, ?, '[]', '2026-01-01', '2026-01-01')",
                (f"{number:031x}{half}", f"flow {number} {half}"),
            )
        connection.execute("COMMIT")
        number += 1
        if number == 5:
            begun.set()
    connection.close()


def test_copy_is_whole_while_others_write(home: Path, tmp_path: Path):
    with closing(sqlite3.connect(home / "orion.db")) as connection:
        # More than is copied at once, so that others write in between.
        connection.execute("CREATE TABLE filler AS SELECT zeroblob(40000000)")
    begun, stop = threading.Event(), threading.Event()
    writer = threading.Thread(target=write_flows, args=(home / "orion.db", begun, stop))
    writer.start()
    assert begun.wait(10)

    done = back_up(home, tmp_path / "copy.db")

    stop.set()
    writer.join()
    assert done.returncode == 0, done.stderr
    copy = sqlite3.connect(tmp_path / "copy.db")
    (count,) = copy.execute("SELECT COUNT(*) FROM runs_flow").fetchone()
    assert count >= 10
    assert count % 2 == 0, "half of a transaction was copied"
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.close()
    assert (tmp_path / "copy.db").stat().st_mode & 0o077 == 0


def test_copy_can_take_the_database_s_place(home: Path, tmp_path: Path):
    back_up(home, tmp_path / "copy.db")
    for file in home.glob("orion.db*"):
        file.unlink()

    (tmp_path / "copy.db").rename(home / "orion.db")

    assert in_a_process(home).returncode == 0


def test_nothing_is_replaced(home: Path, tmp_path: Path):
    (tmp_path / "copy.db").write_text("precious")

    done = back_up(home, tmp_path / "copy.db")

    assert done.returncode == 6
    assert "exists already" in done.stderr
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_missing_folder_is_reported(home: Path, tmp_path: Path):
    done = back_up(home, tmp_path / "nowhere" / "copy.db")

    assert done.returncode == 2
    assert "is not a folder" in done.stderr


@pytest.mark.parametrize("command", [("backup", "copy.db"), ("verify",), ("purge", "--older-than", "1d", "--yes")])
def test_home_without_a_database_is_reported_in_one_sentence(tmp_path: Path, command: tuple[str, ...]):
    answer = orion_database(tmp_path / "empty", *command)

    assert answer.returncode == 3
    assert "There is no database at" in answer.stderr
    assert "foresee" not in answer.stderr


@pytest.mark.parametrize("command", [("backup", "copy.db"), ("upgrade",), ("verify",)])
def test_a_damaged_database_has_the_exit_code_of_one_that_cannot_be_reached(home: Path, command: tuple[str, ...]):
    (home / "orion.db").write_bytes(b"this is no database" * 100)

    answer = orion_database(home, *command)

    assert answer.returncode == 3
    assert "damaged" in answer.stderr
