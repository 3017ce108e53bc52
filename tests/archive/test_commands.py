"""`orion archive`, and an archive that is killed at any moment: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from tests import warm
from tests.site.running import environment, orion

PROGRAM = """
from orionflow import flow, task
@task
def one(x): return x
@flow
def small():
    one(1)
    one(2)
for _ in range({runs}): small()
"""


def home_with_runs(tmp_path: Path, runs: int) -> dict[str, str]:
    warm.run(
        [sys.executable, "-c", PROGRAM.format(runs=runs)], env=environment(tmp_path), check=True, capture_output=True
    )
    # Of one day, also if midnight came between them.
    with closing(sqlite3.connect(tmp_path / "orion.db")) as database, database:
        first = "SELECT min(expected_start_time) FROM runs_flowrun"
        database.execute(f"UPDATE runs_flowrun SET expected_start_time = ({first})")
    return {"ORION_ARCHIVE_PATH": str(tmp_path / "archive")}


def answer_of(home: Path, *words: str, **more: str):
    answer = orion(home, "archive", *words, "-o", "json", **more)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def ids_in(home: Path) -> set[str]:
    with closing(sqlite3.connect(home / "orion.db")) as database:
        return {str(id) for (id,) in database.execute("SELECT quote(id) FROM runs_flowrun")}


def test_runs_are_moved_listed_shown_and_verified(tmp_path: Path):
    where = home_with_runs(tmp_path, 3)
    assert answer_of(tmp_path, "run", "--older-than", "0.001s", "--dry-run", **where) == {"flow_runs": 3}

    moved = answer_of(tmp_path, "run", "--older-than", "0.001s", "--yes", **where)

    assert (moved["flow_runs"], moved["task_runs"]) == (3, 6)
    assert ids_in(tmp_path) == set()
    assert [day["flow_runs"] for day in answer_of(tmp_path, "ls", **where)] == [3]
    listed = answer_of(tmp_path, "runs", "--flow", "small", "--state", "completed", **where)
    assert len(listed) == 3
    assert all(one["archived"] for one in listed)
    shown = answer_of(tmp_path, "inspect", listed[0]["id"], **where)
    assert [[state["type"] for state in task["states"]][-1] for task in shown["task_runs"]] == ["COMPLETED"] * 2
    assert answer_of(tmp_path, "verify", **where) == {"batches": 1, "flaws": []}


def test_runs_are_restored_by_their_ids_or_by_their_day(tmp_path: Path):
    where = home_with_runs(tmp_path, 3)
    answer_of(tmp_path, "run", "--older-than", "0.001s", "--yes", **where)
    (day,) = answer_of(tmp_path, "ls", **where)
    one = answer_of(tmp_path, "runs", **where)[0]["id"]

    by_id = answer_of(tmp_path, "restore", one, **where)
    after_one = len(ids_in(tmp_path))
    by_day = answer_of(tmp_path, "restore", "--day", day["day"], "--keep", "1d", **where)
    moved = answer_of(tmp_path, "run", "--older-than", "0.001s", "--yes", **where)
    purged = orion(tmp_path, "database", "purge", "--older-than", "0.001s", "--yes", "-o", "json", **where)
    both, none = (orion(tmp_path, "archive", "restore", *words, **where) for words in ([one, "--day", "x"], []))

    assert (by_id["added"]["flow runs"], by_id["added"]["task runs"], after_one) == (1, 2, 1)
    assert by_day["added"]["flow runs"] == 2
    # Restored runs are left alone.
    assert (moved["flow_runs"], len(ids_in(tmp_path))) == (0, 3)
    assert "flow runs" not in json.loads(purged.stdout)
    assert both.returncode == none.returncode == 2


def test_errors_of_the_command_are_explained(tmp_path: Path):
    where = home_with_runs(tmp_path, 1)

    without = orion(tmp_path, "archive", "ls")
    missing = orion(tmp_path, "archive", "inspect", str(uuid4()), **where)
    odd = orion(tmp_path, "archive", "runs", "--since", "yesterday", **where)

    assert (without.returncode, missing.returncode, odd.returncode) == (1, 5, 2)
    assert "ORION_ARCHIVE_PATH" in without.stderr


@pytest.mark.slow
@pytest.mark.long
def test_an_archive_that_is_killed_again_and_again_loses_nothing(tmp_path: Path):
    where = home_with_runs(tmp_path, 60)
    with closing(sqlite3.connect(tmp_path / "orion.db")) as database:
        number = database.execute("SELECT count(*) FROM runs_flowrun").fetchone()[0]
    command = [sys.executable, "-m", "orionflow", "archive", "run", "--older-than", "0.001s", "--yes"]
    for _ in range(6):
        running = subprocess.Popen(
            command, env=environment(tmp_path, **where), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(random.uniform(0.6, 2.2))
        running.kill()
        running.wait()

        listed = answer_of(tmp_path, "runs", "--limit", "1000", **where)
        assert len(ids_in(tmp_path)) + len(listed) >= number
        assert len({one["id"] for one in listed}) == len(listed)

    answer_of(tmp_path, "run", "--older-than", "0.001s", "--yes", **where)

    assert ids_in(tmp_path) == set()
    listed = answer_of(tmp_path, "runs", "--limit", "1000", **where)
    assert len(listed) == len({one["id"] for one in listed}) == number
    assert answer_of(tmp_path, "verify", **where)["flaws"] == []
    assert os.path.exists(where["ORION_ARCHIVE_PATH"])
