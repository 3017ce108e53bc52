"""The clock is set back by hours while a program runs: what waits by it takes no longer, and times still ascend."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.wrong_clock import wrong_by
from tests.sdk.programs import Program

pytestmark = pytest.mark.slow

SOURCE = """
import ctypes, os, threading
from orionflow import flow, task

clock = ctypes.CDLL(os.environ["LD_PRELOAD"])

def set_clock_back():
    clock.move_clock({change})

attempts = []

def work():
    attempts.append(1)
    if len(attempts) < 3:
        if {in_attempt}:
            set_clock_back()
        else:
            threading.Timer(0.3, set_clock_back).start()
        raise ValueError("try again")
    return len(attempts)

@flow
def outer():
    return {call}

print("value", flow({options})(work)() if {is_flow} else outer(), flush=True)
"""
OPTIONS = "retries=2, retry_delay_seconds=1"
WAYS = {
    "flow": {"options": OPTIONS, "is_flow": True, "call": "None"},
    "task": {"options": "", "is_flow": False, "call": f"task({OPTIONS})(work)()"},
    "submitted": {"options": "", "is_flow": False, "call": f"task({OPTIONS})(work).submit().result()"},
    "with a tag": {"options": "", "is_flow": False, "call": f"task({OPTIONS}, tags=['gpu'])(work)()"},
}


@pytest.mark.turns
@pytest.mark.parametrize("in_attempt", [True, False], ids=["in the attempt", "in the wait"])
@pytest.mark.parametrize(
    "way", ["flow", "task", *(pytest.param(way, marks=pytest.mark.long) for way in ("submitted", "with a tag"))]
)
def test_a_retry_waits_no_longer_because_the_clock_was_set_back(tmp_path: Path, way: str, in_attempt: bool):
    program = Program(tmp_path, SOURCE.format(**WAYS[way], in_attempt=in_attempt, change=-3 * 3600))

    done = program.run(timeout=60, cold=True, **wrong_by(0, tmp_path))

    assert done.stdout.split() == ["value", "3"], done.stderr
    for kind in ("flow", "task"):
        runs: dict[str, list[tuple[str, datetime]]] = {}
        sql = f"SELECT hex({kind}_run_id), name, timestamp FROM runs_{kind}runstate ORDER BY seq"
        for run, name, moment in program.query(sql):
            runs.setdefault(run, []).append((name, datetime.fromisoformat(moment)))
        for history in runs.values():
            moments = [at for _, at in history]
            assert moments == sorted(moments), history
            for (name, at), (_, then) in zip(history, history[1:], strict=False):
                # States of one moment are a microsecond apart.
                assert name != "AwaitingRetry" or then - at >= timedelta(seconds=0.99), history
