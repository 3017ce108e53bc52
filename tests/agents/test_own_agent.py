"""`orion server start` alone: a flow that was deployed just runs, and nothing outlives the server."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orion_site.services.own_agent import OwnAgent
from tests.agents.running import QUICK, Agent, Api, eventually, is_alive
from tests.printed import read_until
from tests.site.running import RunningServer, running_server

# On a busy machine an agent may be late by seconds, which no test here checks.
PATIENT = QUICK | {"ORION_LEASE_SECONDS": "60"}


def agent_of(server: RunningServer) -> set[int]:
    return Agent(server.process, Path()).children()


def state_of_the_run(home: Path) -> tuple[str, str]:
    """The state of the only flow run, and its message, after the server has ended."""
    sql = "SELECT r.state_name, s.message FROM runs_flowrun r JOIN runs_flowrunstate s ON s.id = r.state_id"
    with closing(sqlite3.connect(home / "orion.db")) as database:
        ((name, message),) = database.execute(sql).fetchall()
    return name, message


# Every other test of this file runs one as well.
@pytest.mark.long
def test_a_deployed_flow_just_runs(tmp_path: Path):
    with running_server(tmp_path, agent=True, **PATIENT) as server:
        api = Api(server)

        run = api.run_of("flows.py:doubling", "default")

        assert api.until_ended(run)["name"] == "Completed"


def test_an_agent_that_dies_is_started_again(tmp_path: Path):
    with running_server(tmp_path, agent=True, **PATIENT) as server:
        api = Api(server)
        eventually(lambda: len(agent_of(server)) >= 2)
        first = min(agent_of(server))

        os.kill(first, signal.SIGKILL)

        eventually(lambda: agent_of(server) and first not in agent_of(server))
        ended = api.until_ended(api.run_of("flows.py:doubling", "default"))
        assert ended["name"] == "Completed", ended["message"]


def test_an_agent_that_was_being_started_when_the_server_ended_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORION_HOME", str(tmp_path))
    agent = OwnAgent("http://127.0.0.1:9/api", 1)
    agent.stop()

    agent._live_once()

    assert agent._process is not None
    assert agent._process.returncode is not None


@pytest.mark.long
def test_the_server_takes_its_agent_and_its_runs_along(tmp_path: Path):
    with running_server(tmp_path, "--drain-timeout", "1", agent=True, **PATIENT) as server:
        api = Api(server)
        api.until(api.run_of("flows.py:sleeping", "default"), "Running")
        below = agent_of(server)

        server.process.send_signal(signal.SIGINT)
        server.process.wait(60)

        eventually(lambda: not any(is_alive(pid) for pid in below), lambda: below)


def test_runs_may_finish_when_the_server_is_asked_to_stop(tmp_path: Path):
    with running_server(tmp_path, agent=True, **PATIENT) as server:
        api = Api(server)
        witness = tmp_path / "witness"
        run = api.run_of("flows.py:napping", "default", seconds=3, witness=str(witness))
        api.until(run, "Running")

        code, output = server.interrupt()

    assert code == 0
    assert witness.read_text() == "awake", output
    assert "its run has up to 30 s" in output
    assert "Ctrl-C once more ends it now" in output
    assert state_of_the_run(tmp_path)[0] == "Completed"


@pytest.mark.long
def test_a_second_signal_ends_the_runs_at_once(tmp_path: Path):
    with running_server(tmp_path, "--drain-timeout", "3600", agent=True, **PATIENT) as server:
        api = Api(server)
        run = api.run_of("flows.py:sleeping", "default", seconds=3600)
        api.until(run, "Running")

        server.process.send_signal(signal.SIGINT)
        read_until(server.process.stderr, "up to 3600 s")
        code, output = server.interrupt()

    assert code == 0, output
    assert state_of_the_run(tmp_path)[0] == "Crashed"


@pytest.mark.long
def test_runs_that_outlast_the_time_to_drain_are_asked_to_stop(tmp_path: Path):
    with running_server(tmp_path, "--drain-timeout", "0.5", agent=True, **PATIENT) as server:
        api = Api(server)
        run = api.run_of("flows.py:sleeping", "default", seconds=3600)
        api.until(run, "Running")

        code, output = server.interrupt()

    assert code == 0, output
    name, message = state_of_the_run(tmp_path)
    assert (name, "its agent ended" in message) == ("Crashed", True)


@pytest.mark.long
def test_nothing_outlives_a_server_that_is_killed(tmp_path: Path):
    with running_server(tmp_path, agent=True, **PATIENT) as server:
        api = Api(server)
        api.until(api.run_of("flows.py:sleeping", "default"), "Running")
        below = agent_of(server)

        server.process.kill()
        server.process.wait()

        eventually(lambda: not any(is_alive(pid) for pid in below), lambda: below)
