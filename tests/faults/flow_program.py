"""A flow whose server dies under it; run in a process of its own.

python -m tests.faults.flow_program PID     kills that process half way
"""

from __future__ import annotations

import os
import signal
import sys

from orionflow import flow, task

TASKS = 60


@task
def count(number: int) -> int:
    return number


@flow
def survive(server: int) -> str:
    for number in range(TASKS):
        count(number)
        if number == TASKS // 2:
            os.kill(server, signal.SIGKILL)
    return "survived"


if __name__ == "__main__":
    survive(int(sys.argv[1]))
