"""kill -9 in the middle of making a database: the next upgrade completes it, and nothing is missing or there twice."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest

from tests.agents.running import Api
from tests.faults.cluster import own_database, verified
from tests.rounds import rounds
from tests.site.running import COMMAND, environment, orion, running_server

ROUNDS = rounds(2)

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
    with subprocess.Popen(words, env=environment(home, **settings), **quiet) as resetting:  # type: ignore[call-overload]
        time.sleep(seconds)
        resetting.kill()


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
