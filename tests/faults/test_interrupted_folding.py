"""kill -9 while the states of earlier runs are folded: nothing is lost, and the next upgrade continues from there."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests import warm
from tests.homes import ROOT, ready_home
from tests.rounds import THOROUGH
from tests.site.running import COMMAND, environment, orion

RUNS = 3_000
# Of each thousand, which are folded together, a brief round reads some.
READ_EVERY = 1 if THOROUGH else 7
STORIES = """
from orion_site.bootstrap import ephemeral_application
ephemeral_application()
import hashlib
import sys
from runs.models import TaskRun
from runs.states.selectors import states_of_task_run

digest = hashlib.sha256()
for run in list(TaskRun.objects.order_by("pk"))[::int(sys.argv[1])]:
    for one in states_of_task_run(run):
        digest.update(repr((run.pk, one.pk, one.seq, one.type, one.name, one.timestamp, one.trail, one.epoch)).encode())
print(digest.hexdigest())
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def stories(home: Path) -> str:
    command = [sys.executable, "-c", STORIES, str(READ_EVERY)]
    return warm.run(command, env=environment(home), cwd=ROOT, capture_output=True, text=True, check=True).stdout


def counted(home: Path, what: str) -> int:
    with closing(sqlite3.connect(home / "orion.db", timeout=30)) as database:
        return int(database.execute(f"SELECT COUNT(*) FROM {what}").fetchone()[0])


def test_folding_that_is_killed_continues_with_the_next_upgrade(tmp_path: Path):
    ready_home(tmp_path)
    fill = [sys.executable, "-m", "benchmarks.folding", "--fill", str(RUNS)]
    warm.run(fill, env=environment(tmp_path), cwd=ROOT, check=True, capture_output=True)
    before = stories(tmp_path)

    with warm.Popen([*COMMAND, "database", "upgrade"], env=environment(tmp_path), stderr=subprocess.PIPE) as one:
        while counted(tmp_path, "runs_taskrunstate") == 3 * RUNS:
            assert one.poll() is None
            time.sleep(0.002)
        one.kill()

    left = counted(tmp_path, "runs_taskrunstate")
    assert left == 3 * counted(tmp_path, "runs_taskrun WHERE folded_states IS NULL") > 0
    assert stories(tmp_path) == before

    upgraded = orion(tmp_path, "database", "upgrade")

    assert f"of {left // 3:,} task runs" in upgraded.stderr
    assert counted(tmp_path, "runs_taskrunstate") == 0
    assert stories(tmp_path) == before
