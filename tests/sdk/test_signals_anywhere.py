"""A signal may come wherever Python looks for one: no run of the program stays unfinished."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from tests.rounds import THOROUGH, in_turn
from tests.sdk.programs import Program

TRIES = 60 if THOROUGH else 2
# Beyond the last call that any of these makes before it waits; those signals come while it waits.
CALLS = 5_000
pytestmark = pytest.mark.timeout(60 + 15 * TRIES)
PROGRAM = """
import asyncio, os, signal, sys, threading, time
from orionflow import flow, task

@task
async def waits():
    await asyncio.sleep(60)

@task
def returns():
    return 1

@flow
def calls():
    returns()
    waits()

@flow
def submits():
    returns.submit()
    returns()
    time.sleep(60)

@flow
def nested():
    calls()

@flow
async def sync_in_async():
    calls()

@flow
def warm():
    returns()
    returns.submit()

which, left, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
# Imports are over: every call from here on is one that each run makes.
warm()
print("warm", flush=True)

def trace(frame, event, arg):
    # Python looks for signals when a function begins. It does so before no other line.
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), number)

def send_at_last():
    global left
    time.sleep(2)
    if left > 0:
        left = 0
        os.kill(os.getpid(), number)

threading.Thread(target=send_at_last, daemon=True).start()
sys.settrace(trace)
program = globals()[which]
asyncio.run(program()) if program.is_async else program()
"""


@pytest.mark.parametrize(
    ("which", "number"), in_turn(["calls", "submits", "nested", "sync_in_async"], [signal.SIGTERM, signal.SIGINT])
)
def test_no_run_stays_unfinished_wherever_the_signal_comes(which: str, number: int, tmp_path: Path):
    program = Program(tmp_path, PROGRAM)

    for call in random.sample(range(1, CALLS), TRIES):
        ended = program.run(words=(which, str(call), str(number.value)))

        assert ended.returncode != 0, f"call {call}: {ended.stderr}"
        assert "warm" in ended.stdout
        unfinished = program.query(
            "SELECT name, state_name FROM runs_flowrun WHERE state_type NOT IN ('COMPLETED', 'CRASHED')"
            " UNION ALL SELECT name, state_name FROM runs_taskrun WHERE state_type NOT IN ('COMPLETED', 'CRASHED')"
        )
        assert not unfinished, f"call {call}: {unfinished}\n{ended.stderr}"
