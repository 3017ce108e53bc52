"""User code may fork. What the child does with its copy of a run does not end the run, which goes on in the parent."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from tests.sdk.programs import Program

SOURCE = """
import asyncio, os, sys
from orionflow import flow, task
from orionflow.task_runners import SequentialTaskRunner

def leave():
    {leave}

def code_of_child():
    child = os.fork()
    if child == 0:
        return leave()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

@task
def forking():
    return code_of_child()

@task
async def awaiting():
    return code_of_child()

async def waiting():
    await asyncio.sleep(0)
    code = code_of_child()
    await asyncio.to_thread(print, end="")
    return code

async def calling():
    return (await asyncio.gather(awaiting(), awaiting()))[1]

@task
def adding(number):
    return number + 1

def {outer}

if __name__ == "__main__":
    value = {call}
    print("value", value, flush=True)
"""

# How a child leaves the function in which it was forked, and its exit code.
LEAVING = {
    "sys.exit": ("sys.exit(3)", 3),
    "sys.exit with a text": ("sys.exit('no')", 1),
    "raises": ("raise ValueError('on purpose')", 1),
    "returns": ("return 77", 1),
    "os._exit": ("os._exit(3)", 3),
}
PLACES = {
    "flow": ("outer():\n    return adding(code_of_child())", "flow(outer)()"),
    "task": ("outer():\n    return adding(forking())", "flow(outer)()"),
    "submitted": ("outer():\n    return adding(forking.submit())", "flow(outer)()"),
    "in order": (
        "outer():\n    return adding(forking.submit())",
        "flow(outer, task_runner=SequentialTaskRunner())()",
    ),
    "mapped": ("outer():\n    return adding([forking.submit() for _ in range(3)][2])", "flow(outer)()"),
    "nested": ("outer():\n    return adding(flow(code_of_child)())", "flow(outer)()"),
    "async task": ("outer():\n    return adding(awaiting())", "flow(outer)()"),
    "async flow": ("outer():\n    return adding(flow(waiting)())", "flow(outer)()"),
    "async flow outside": ("outer():\n    return asyncio.run(flow(waiting)())", "outer() + 1"),
    "async task of an async flow": ("outer():\n    return asyncio.run(flow(calling)())", "outer() + 1"),
    "async task, submitted": ("outer():\n    return adding(awaiting.submit())", "flow(outer)()"),
}


@pytest.mark.parametrize(
    ("place", "leaving"),
    [*product(PLACES, ("sys.exit", "raises", "returns")), *product(("flow",), ("sys.exit with a text", "os._exit"))],
)
def test_run_goes_on_however_a_forked_child_leaves_it(tmp_path: Path, place: str, leaving: str):
    (outer, call), (leave, code) = PLACES[place], LEAVING[leaving]
    program = Program(tmp_path, SOURCE.format(leave=leave, outer=outer, call=call))

    done = program.run(timeout=60)

    assert done.stdout.split() == ["value", str(code + 1)], done.stderr
    assert {name for (name,) in program.query("SELECT state_name FROM runs_flowrun")} == {"Completed"}
    assert set(program.query("SELECT state_name, run_count FROM runs_taskrun")) <= {("Completed", 1)}
