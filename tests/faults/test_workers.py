"""Several workers below one server: one address, one set of services, and nothing lost when any of them is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.agents.running import QUICK, Api, eventually, is_alive
from tests.conftest import DATABASE
from tests.faults.cluster import own_database, processes_of_home, verified
from tests.site.running import RunningServer, orion, running_server

pytestmark = pytest.mark.skipif(DATABASE == "sqlite", reason="SQLite is served by one worker")


@contextmanager
def served(
    home: Path, workers: int = 2, agent: bool = False, **more: str
) -> Iterator[tuple[RunningServer, dict[str, str]]]:
    with (
        own_database(home, **more) as (settings, _),
        running_server(home, "--workers", str(workers), agent=agent, **settings) as server,
    ):
        yield server, settings


def parts(home: Path) -> dict[str, dict[str, Any]]:
    (server,) = json.loads(orion(home, "server", "status", "-o", "json").stdout)
    return {part["name"]: part for part in server["processes"]}


def connections_of(pids: list[int], port: int) -> list[int]:
    """How many connections to the port each process has."""
    found = subprocess.run(["ss", "-Htnp", "state", "established", f"sport = :{port}"], capture_output=True, text=True)
    return [len(re.findall(f"pid={pid},", found.stdout)) for pid in pids]


def test_what_is_killed_is_started_again_and_all_ends_with_the_server(tmp_path: Path):
    with served(tmp_path) as (server, _):
        before = parts(tmp_path)
        assert before.keys() == {"services", "worker 1", "worker 2"}

        for part in before.values():
            os.kill(part["pid"], signal.SIGKILL)

        def all_again() -> bool:
            now = parts(tmp_path)
            return all(now[name]["pid"] and now[name]["starts"] == 2 for name in before)

        eventually(all_again, lambda: parts(tmp_path))
        assert server.get("/api/health")[0] == 200
        stopped = orion(tmp_path, "server", "stop", "-o", "json")
        assert stopped.returncode == 0, stopped.stderr
        assert orion(tmp_path, "server", "status").returncode == 1
        assert server.process.wait(10) == 0
        assert processes_of_home(tmp_path) == {}


def test_workers_end_when_their_server_is_killed(tmp_path: Path):
    with served(tmp_path, agent=True) as (server, _):
        # Three of the server, the agent and its launcher.
        eventually(lambda: len(processes_of_home(tmp_path)) >= 6)
        below = [pid for pid in processes_of_home(tmp_path) if pid != server.process.pid]

        server.process.kill()

        eventually(lambda: not any(is_alive(pid) for pid in below), lambda: processes_of_home(tmp_path))


def test_a_deployed_flow_runs_and_may_finish_when_the_server_is_told_to_stop(tmp_path: Path):
    with served(tmp_path, agent=True, **QUICK) as (server, settings):
        api = Api(server)
        witness = tmp_path / "witness"
        run = api.run_of("flows.py:napping", "default", seconds=2, witness=str(witness))
        api.until(run, "Running")

        code, said = server.interrupt()

        assert code == 0
        assert witness.read_text() == "awake", said
        assert verified(tmp_path, settings) == ""
