"""Reports while processes are killed, frozen and restarted: what was acknowledged is stored, all of it, once."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from uuid import UUID

import pytest

from orchestration.core.folding import unfold
from orionflow.contract.states import USUAL_NAMES
from tests import warm
from tests.ports import lasting_port
from tests.printed import read_line
from tests.rounds import rounds
from tests.site.running import environment, running_server

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).parents[2]
THREE_STEPS = ["Pending", "Running", "Completed"]


class Program:
    """The reporting program in a process of its own, and what it said so far."""

    def __init__(self, home: Path, *words: str, **more: str) -> None:
        self.process = warm.Popen(
            [sys.executable, "-m", "tests.faults.reporting_program", *words],
            env=environment(home, PYTHONPATH=str(ROOT), **more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.flow_run = UUID(self.read_line())

    def read_line(self) -> str:
        return read_line(self.process.stdout, errors=self.process.stderr).strip()

    def finish(self) -> list[str]:
        """The lines that it still says."""
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode in {0, -signal.SIGKILL}, err
        # The last line of a killed program may be cut off.
        return out[: out.rfind("\n") + 1].splitlines()

    def kill(self) -> list[str]:
        os.kill(self.process.pid, signal.SIGKILL)
        return self.finish()


def histories(home: Path, flow_run: UUID) -> dict[str, list[tuple[int, str]]]:
    """The numbered names of the states of each task run, straight from the file."""
    folded = "SELECT id, folded_states FROM runs_taskrun WHERE flow_run_id = ? AND folded_states NOTNULL"
    query = """
        SELECT t.id, s.seq, s.name FROM runs_taskrun t JOIN runs_taskrunstate s ON s.task_run_id = t.id
        WHERE t.flow_run_id = ? ORDER BY t.id, s.seq"""
    found: dict[str, list[tuple[int, str]]] = {}
    with closing(sqlite3.connect(home / "orion.db")) as database:
        for task_run, states in database.execute(folded, [flow_run.bytes]):
            names = [USUAL_NAMES[state.type] for state in unfold(states)]
            found[str(UUID(bytes=task_run))] = list(enumerate(names, 1))
        for task_run, seq, name in database.execute(query, [flow_run.bytes]):
            found.setdefault(str(UUID(bytes=task_run)), []).append((seq, name))
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return found


def assert_all_finished_once(home: Path, flow_run: UUID, tasks: int) -> None:
    found = histories(home, flow_run)
    assert len(found) == tasks
    assert {tuple(history) for history in found.values()} == {tuple(enumerate(THREE_STEPS, start=1))}


def acknowledged(lines: list[str]) -> list[str]:
    return [task_run for line in lines for task_run in line.split()]


def test_a_server_that_is_killed_and_restarted_loses_no_report(tmp_path: Path):
    home = tmp_path / "home"
    with ExitStack() as servers:
        server = servers.enter_context(running_server(home, "--port", str(lasting_port())))
        address = f"http://127.0.0.1:{server.port}/api"
        program = Program(tmp_path, "300", "0.05", ORION_API_URL=address)
        for _ in range(3):
            time.sleep(0.5)
            server.process.kill()
            server.process.wait()
            server = servers.enter_context(running_server(home, "--port", str(server.port)))
        program.finish()

    assert_all_finished_once(home, program.flow_run, 300)


@pytest.mark.long
def test_a_frozen_server_delays_reports_without_loss(tmp_path: Path):
    home = tmp_path / "home"
    with running_server(home) as server:
        program = Program(
            tmp_path,
            "200",
            "0.05",
            ORION_API_URL=f"http://127.0.0.1:{server.port}/api",
            ORION_API_READ_TIMEOUT_SECONDS="0.5",
        )
        for _ in range(2):
            time.sleep(0.3)
            server.process.send_signal(signal.SIGSTOP)
            time.sleep(1.5)
            server.process.send_signal(signal.SIGCONT)
        program.finish()

    assert_all_finished_once(home, program.flow_run, 200)


def test_a_program_that_is_killed_loses_nothing_that_a_server_acknowledged(tmp_path: Path):
    home = tmp_path / "home"
    with running_server(home) as server:
        program = Program(tmp_path, "5000", "0.02", ORION_API_URL=f"http://127.0.0.1:{server.port}/api")
        acknowledged_runs = acknowledged([program.read_line() for _ in range(3)] + program.kill())

    found = histories(home, program.flow_run)
    assert len(acknowledged_runs) >= 10
    assert {tuple(name for _, name in found[task_run]) for task_run in acknowledged_runs} == {tuple(THREE_STEPS)}


@pytest.mark.parametrize("attempt", range(rounds(1)))
def test_a_program_that_is_killed_loses_nothing_that_was_acknowledged_in_its_own_process(tmp_path: Path, attempt: int):
    program = Program(tmp_path, "5000", "0.01")
    acknowledged_runs = acknowledged([program.read_line() for _ in range(1 + attempt)] + program.kill())

    found = histories(tmp_path, program.flow_run)

    assert len(acknowledged_runs) >= 10
    assert {tuple(name for _, name in found[task_run]) for task_run in acknowledged_runs} == {tuple(THREE_STEPS)}


def test_a_database_that_is_locked_from_outside_delays_reports_without_loss(tmp_path: Path):
    program = Program(tmp_path, "300", "0.02")

    with closing(sqlite3.connect(tmp_path / "orion.db", isolation_level=None)) as other:
        for _ in range(3):
            other.execute("BEGIN IMMEDIATE")
            time.sleep(0.7)
            other.execute("ROLLBACK")
            time.sleep(0.2)
    program.finish()

    assert_all_finished_once(tmp_path, program.flow_run, 300)


def test_the_next_process_reports_the_end_of_a_run_after_an_outage(tmp_path: Path):
    home = tmp_path / "home"
    with ExitStack() as servers:
        server = servers.enter_context(running_server(home, "--port", str(lasting_port())))
        address = {"ORION_API_URL": f"http://127.0.0.1:{server.port}/api", "PYTHONPATH": str(ROOT)}
        ended = python(tmp_path, "-m", "tests.faults.flow_program", str(server.process.pid), **address, **IMPATIENT)
        kept = list((tmp_path / "spool").iterdir())

        servers.enter_context(running_server(home, "--port", str(server.port)))
        acknowledged_runs = python(tmp_path, "-c", COMPLETE_AND_LOOK, **address)

    assert "ApiUnreachable" in ended.stderr
    assert len(kept) == 1
    assert acknowledged_runs.stdout == "True Completed 60\n", acknowledged_runs.stderr
    assert list((tmp_path / "spool").iterdir()) == []


IMPATIENT = {"ORION_REPORTING_BUDGET_SECONDS": "1"}
COMPLETE_AND_LOOK = """
from orionflow.client import OrionClient
from orionflow.reporting import replay_leftovers
sent = replay_leftovers()
client = OrionClient()
(run,) = client.read_flow_runs()
done = client.count_task_runs(task_runs={"state": {"type": {"any_": ["COMPLETED"]}}})
print(sent > 90, run.state_name, done)
"""


def python(home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return warm.run(
        [sys.executable, *words], env=environment(home, **more), capture_output=True, text=True, timeout=120, cwd=ROOT
    )
