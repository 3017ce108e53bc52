"""kill -9 of a script: its run must not stay RUNNING while a server ticks on the same machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import warm
from tests.homes import ready_home
from tests.printed import read_line
from tests.site.running import PATIENCE_SECONDS, RunningServer, environment, orion, running_server

PROGRAM = """
import time
from orionflow import flow, task

@task
def sleep():
    print("asleep", flush=True)
    time.sleep(600)

@flow
def inner():
    sleep()

@flow
def outer():
    inner()

outer()
"""


def test_the_runs_of_a_killed_script_crash_with_their_tasks(tmp_path: Path):
    home = tmp_path / "home"
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)

    with running_server(home) as server:
        api = f"http://127.0.0.1:{server.port}/api"
        script = warm.Popen(
            [sys.executable, str(file)], env=environment(home, ORION_API_URL=api), stdout=subprocess.PIPE, text=True
        )
        assert script.stdout is not None
        assert read_line(script.stdout) == "asleep\n"
        until_states(server, "task_runs", {"RUNNING"}, count=2)
        script.kill()
        script.wait()
        script.stdout.close()

        runs = until_states(server, "flow_runs", {"CRASHED"}, count=2)
        until_states(server, "task_runs", {"CRASHED"}, count=2)
        server.interrupt()

    messages = {run["state"]["message"] for run in runs}
    assert all(f"pid {script.pid}" in message for message in messages), messages


HOLDER = """
import sys
import time
from orionflow import flow, task

@task(tags=["one"])
def hold(seconds):
    print("held", flush=True)
    time.sleep(seconds)

@flow
def holding():
    hold(float(sys.argv[1]))

holding()
"""


@pytest.mark.long
def test_a_killed_program_returns_what_it_held_where_no_server_ticks(tmp_path: Path):
    home, file = ready_home(tmp_path / "home"), tmp_path / "program.py"
    file.write_text(HOLDER)
    settings = environment(home, ORION_CRASH_GRACE_SECONDS="0")
    command = [sys.executable, str(file)]
    assert orion(home, "concurrency-limit", "create", "one", "1").returncode == 0

    holder = warm.Popen([*command, "600"], env=settings, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert read_line(holder.stdout) == "held\n"
    holder.kill()
    holder.wait()
    holder.stdout.close()
    next_one = warm.run([*command, "0"], env=settings, capture_output=True, text=True, timeout=PATIENCE_SECONDS)

    assert (next_one.returncode, next_one.stdout) == (0, "held\n")


def until_states(server: RunningServer, kind: str, wanted: set[str], *, count: int) -> list[dict]:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        _, _, body = server.request(
            "POST", f"/api/{kind}/filter", b"{}", {"content-type": "application/json", "host": "localhost"}
        )
        rows = json.loads(body)
        if len(rows) == count and {row["state_type"] for row in rows} == wanted:
            return rows
        time.sleep(0.1)
    raise AssertionError(f"{kind} are {[(row['name'], row['state_type']) for row in rows]}")
