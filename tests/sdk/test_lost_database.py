"""A database file that is removed or replaced under a running program without a server does not stop its work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sdk.programs import Program

LOSES_ITS_DATABASE = """
import os, sys, time
from pathlib import Path
from orionflow import flow, task

home = Path(os.environ["ORION_HOME"])

@task
def work(n):
    if n == 2:
        for file in home.glob("orion.db*"):
            file.unlink()
        if sys.argv[1] != "removed":
            (home / "orion.db").write_bytes(b"" if sys.argv[1] == "emptied" else b"something else" * 1000)
    time.sleep(0.1)
    return n

@flow
def loses():
    # Each thread has a connection of its own, and those that begin later cannot have one.
    return [work.submit(n).result() for n in range(3)] + work.map(range(3, 8)).result()

if __name__ == "__main__":
    print("result", loses())
"""


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("removed", "There is no database at"),
        ("emptied", "has no tables of Orion"),
        ("replaced", "is not a SQLite database or is damaged"),
    ],
)
def test_a_program_ends_with_its_own_result_and_a_message_about_the_database(how: str, why: str, tmp_path: Path):
    program = Program(tmp_path, LOSES_ITS_DATABASE)

    # Waiting for the database would take minutes.
    done = program.run(timeout=100, words=(how,))

    assert (done.returncode, done.stdout) == (0, "result [0, 1, 2, 3, 4, 5, 6, 7]\n"), done.stderr
    assert why in done.stderr
    assert "Ended as Completed" in done.stderr
    assert list((program.home / "spool").iterdir()), done.stderr


MOVES = """
import os

os.chdir(os.environ["ORION_HOME"])
os.environ["ORION_DATABASE_URL"] = "sqlite:///orion.db"

from orionflow import flow, task

@task
def work(n):
    return n

@flow
def moves():
    first = work(1)
    os.chdir("/")
    return [first, work(2), work.submit(3).result()]

if __name__ == "__main__":
    print("result", moves())
"""


def test_program_that_changes_its_folder_keeps_a_database_that_it_named_from_there(tmp_path: Path):
    program = Program(tmp_path, MOVES)

    done = program.run()

    assert (done.returncode, done.stdout) == (0, "result [1, 2, 3]\n"), done.stderr
    assert "no database" not in done.stderr
    assert program.flow_run()[0] == "Completed"
    assert [state for _, state in program.task_runs()] == ["Completed"] * 3
