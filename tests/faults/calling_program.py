"""A program whose tasks run on task workers: it runs one flow after the other until a file exists.

python -m tests.faults.calling_program ENOUGH WITNESS    prints the id of each run that ended well
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from orionflow import flow, runtime, task
from orionflow.task_runners import CeleryTaskRunner

TASKS = 4


@task
def far_away(witness: str, call: str) -> str:
    """Append `call` to the file `witness`, with one write, so that lines of several processes do not mix."""
    with open(witness, "a") as file:
        file.write(f"{call}\n")
    time.sleep(0.2)
    return call


@flow(task_runner=CeleryTaskRunner("in-turn"))
def calling(witness: str) -> str:
    calls = [f"{runtime.flow_run.id}/{number}" for number in range(TASKS)]
    assert [future.result() for future in far_away.map([witness] * TASKS, calls)] == calls
    return str(runtime.flow_run.id)


if __name__ == "__main__":
    enough, witness = sys.argv[1:]
    while not Path(enough).exists():
        print(calling(witness), flush=True)
