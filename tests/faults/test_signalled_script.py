"""SIGINT and SIGTERM at random moments of a script, once or twice: whatever is stored by then is whole."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from orionflow.engine.signals import UNTIL_RAISED
from tests import warm
from tests.agents.running import Api, eventually
from tests.faults.cluster import SHORT, own_database, verified
from tests.faults.faultproxy import fault_proxy
from tests.faults.load import UNFINISHED
from tests.printed import read_line
from tests.rounds import rounds
from tests.site.running import PATIENCE_SECONDS, environment, running_server

ROUNDS = rounds(3)

PROGRAM = """
from orionflow import flow, task

@task
def count(number):
    return number

@flow
def inner(first):
    return [count(number) for number in range(first, first + 10)]

@flow
def outer():
    for first in range(0, 1000, 10):
        inner(first)

outer()
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 20 * ROUNDS)]
# Longer than an interrupt waits for a run to be made.
SLOW_SECONDS = 1.5


def run_until(signals: Sequence[int], file: Path, settings: dict[str, str]) -> int:
    """Start the script and send it these signals, one after the other; its exit code."""
    home = file.with_name("home")
    with warm.Popen(
        [sys.executable, str(file)], env=environment(home, **settings), stderr=subprocess.DEVNULL
    ) as script:
        time.sleep(random.uniform(0.5, 4))
        for number in signals:
            script.send_signal(number)
            time.sleep(random.uniform(0, 0.05))
        return script.wait(PATIENCE_SECONDS)


def unfinished_runs(home: Path, settings: dict[str, str]) -> int:
    code = f"""
from orionflow.client import OrionClient
client = OrionClient()
print(client.session().post(client.api_url + "/flow_runs/count", json={{"flow_runs": {UNFINISHED!r}}}).json())
"""
    answer = warm.run(
        [sys.executable, "-c", code], env=environment(home, **settings), capture_output=True, text=True, check=True
    )
    return int(answer.stdout)


def test_a_script_that_is_asked_to_stop_at_any_moment_leaves_nothing_torn(tmp_path: Path):
    home, file = tmp_path / "home", tmp_path / "program.py"
    file.write_text(PROGRAM)
    with own_database(home) as (settings, _):
        left = 0
        for _ in range(ROUNDS):
            signals = random.choices([signal.SIGINT, signal.SIGTERM], k=random.choice([1, 2]))

            code = run_until(signals, file, settings)

            assert code in (0, 1, -signal.SIGINT, -signal.SIGTERM)
            unfinished = unfinished_runs(home, settings)
            if len(signals) == 1:
                # Also the run that was being made at that moment.
                assert unfinished == left
            left = unfinished
        assert verified(home, settings) == ""
        # After a second signal runs may be left that have no process any more, which a server notices.
        # Soon: it waits for a while whether their processes, of which it saw nothing, report an end yet.
        with running_server(home, **settings, **SHORT, ORION_CRASH_GRACE_SECONDS="1") as server:
            eventually(lambda: Api(server).post("/flow_runs/count", {"flow_runs": UNFINISHED}) == 0)
        assert verified(home, settings) == ""


@pytest.mark.long
def test_a_signal_ends_a_run_while_its_creation_waits_for_the_database(tmp_path: Path):
    home, file = tmp_path / "home", tmp_path / "program.py"
    file.write_text(PROGRAM.replace("\nouter()", "\nprint(flush=True)\nouter()"))
    with own_database(home) as (settings, _):
        assert unfinished_runs(home, settings) == 0
        for _ in range(ROUNDS):
            with closing(sqlite3.connect(home / "orion.db", isolation_level=None)) as database:
                database.execute("BEGIN IMMEDIATE")
                command = [sys.executable, str(file)]
                with warm.Popen(command, env=environment(home, **settings), stdout=subprocess.PIPE) as script:
                    read_line(script.stdout)
                    time.sleep(random.uniform(0, 0.5))
                    script.send_signal(signal.SIGTERM)
                    # About as long as a run has before it is told again.
                    time.sleep(random.uniform(UNTIL_RAISED - 0.1, UNTIL_RAISED + 0.1))
                    database.execute("ROLLBACK")
                    script.wait(PATIENCE_SECONDS)

            assert unfinished_runs(home, settings) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_signal_ends_a_run_if_its_creation_is_not_answered_in_time(tmp_path: Path, number: int):
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    with running_server(tmp_path / "server") as server, fault_proxy(server.port) as wire:
        api, wire.latency_seconds = Api(server), SLOW_SECONDS
        settings = {"ORION_API_URL": f"http://127.0.0.1:{wire.port}/api"}
        with warm.Popen(
            [sys.executable, str(file)], env=environment(tmp_path / "home", **settings), stderr=subprocess.DEVNULL
        ) as script:
            eventually(lambda: api.post("/flow_runs/count") == 1)
            script.send_signal(number)
            script.wait(PATIENCE_SECONDS)

        assert api.post("/flow_runs/count", {"flow_runs": UNFINISHED}) == 0
