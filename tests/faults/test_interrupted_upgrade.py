"""kill -9 in the middle of making a database: the next upgrade completes it, and nothing is missing or there twice."""

from __future__ import annotations

import gzip
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests import warm
from tests.agents.running import Api
from tests.conftest import DATABASE
from tests.faults.cluster import own_database, verified
from tests.homes import ready_home
from tests.postgresql import running_postgresql_server
from tests.rounds import rounds
from tests.site.running import COMMAND, environment, orion, running_server
from tests.site.test_upgrade import KEPT, KEYS

ROUNDS = rounds(1)
# It makes tables with indexes, in a database of 9e08862 as in a new one.
MAKING_TABLES = "runs.0008_roll_ups"
LOST = ["TRIGGER runs_flowrun_roll_up_insert", "INDEX task_run_by_end", "TRIGGER audit_entry_delete_%"]
KILLED = """
import os, signal, sys
from django.db.migrations.recorder import MigrationRecorder
from orionflow.cli import main

target, record = sys.argv.pop(1), MigrationRecorder.record_applied

def record_unless_killed(recorder, app, name):
    if f"{app}.{name}" == target:
        os.kill(os.getpid(), signal.SIGKILL)
    record(recorder, app, name)

MigrationRecorder.record_applied = record_unless_killed
main()
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 30 * ROUNDS)]


def seconds_of_a_reset(home: Path, settings: dict[str, str]) -> float:
    """Everything is dropped, and made again from the first migration on."""
    began = time.monotonic()
    reset = orion(home, "database", "reset", "--yes", **settings)
    assert reset.returncode == 0, reset.stderr
    return time.monotonic() - began


def reset_and_kill(home: Path, settings: dict[str, str], seconds: float) -> None:
    words = [*COMMAND, "database", "reset", "--yes"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with warm.Popen(words, env=environment(home, **settings), **quiet) as resetting:  # type: ignore[call-overload]
        time.sleep(seconds)
        resetting.kill()


def upgrade_and_kill(home: Path, settings: dict[str, str], migration: str) -> int:
    """Upgrade; the process is killed when this migration is made, and before it is recorded."""
    command = [sys.executable, "-c", KILLED, migration, "database", "upgrade"]
    env = environment(home, **settings, DJANGO_SETTINGS_MODULE="orion_site.settings")
    return warm.run(command, env=env, capture_output=True).returncode


def test_an_upgrade_that_is_killed_is_completed_by_the_next(tmp_path: Path):
    (tmp_path / "orion.db").write_bytes(gzip.decompress((KEPT / "orion.db.gz").read_bytes()))
    assert upgrade_and_kill(tmp_path, KEYS, MAKING_TABLES) == -signal.SIGKILL

    upgraded = orion(tmp_path, "database", "upgrade", **KEYS)

    assert upgraded.returncode == 0, upgraded.stderr
    # What is wrong with that database is wrong on purpose; the counts and tags are right.
    assert set(re.findall(r"^ +\d+ +(I\d+)", verified(tmp_path, KEYS), re.MULTILINE)) == {"I7", "I8"}


@pytest.mark.parametrize("lost", [LOST[0], *(pytest.param(lost, marks=pytest.mark.long) for lost in LOST[1:])])
def test_an_upgrade_that_was_killed_after_its_last_migration_is_completed_by_the_next(tmp_path: Path, lost: str):
    ready_home(tmp_path)
    with closing(sqlite3.connect(tmp_path / "orion.db")) as database:
        # As where that migration made the table again, and the process did not come to its triggers.
        kind, name = lost.split()
        found = "SELECT name FROM sqlite_master WHERE type = lower(?) AND name LIKE ?"
        database.execute(f"DROP {kind} {database.execute(found, [kind, name]).fetchone()[0]}")

    checked = orion(tmp_path, "database", "check")
    assert (checked.returncode, "was interrupted; run `orion database upgrade`" in checked.stdout) == (1, True)
    assert orion(tmp_path, "database", "upgrade").returncode == 0

    assert orion(tmp_path, "database", "check").returncode == 0
    assert verified(tmp_path, {}) == ""


@pytest.mark.skipif(DATABASE == "sqlite", reason="a new SQLite file is made beside its place")
@pytest.mark.parametrize("migration", [pytest.param("admin.0001_initial", marks=pytest.mark.long), MAKING_TABLES])
def test_a_first_upgrade_that_is_killed_is_completed_by_the_next(tmp_path: Path, migration: str):
    with running_postgresql_server() as server:
        settings = {"ORION_DATABASE_URL": server.url}
        assert upgrade_and_kill(tmp_path, settings, migration) == -signal.SIGKILL

        upgraded = orion(tmp_path, "database", "upgrade", **settings)

        assert upgraded.returncode == 0, upgraded.stderr
        assert verified(tmp_path, settings) == ""


@pytest.mark.long
def test_migrations_that_are_killed_are_completed_by_the_next_upgrade(tmp_path: Path):
    home = tmp_path / "home"
    with own_database(home) as (settings, _):
        whole = seconds_of_a_reset(home, settings)
        for _ in range(ROUNDS):
            reset_and_kill(home, settings, random.uniform(0.3, 1) * whole)

            upgraded = orion(home, "database", "upgrade", **settings)

            assert upgraded.returncode == 0, upgraded.stderr
            checked = orion(home, "database", "check", **settings)
            assert checked.returncode == 0, checked.stdout
        with running_server(home, **settings) as server:
            assert Api(server).state(Api(server).run_of("flows.py:doubling"))["name"] == "Scheduled"
        assert verified(home, settings) == ""
