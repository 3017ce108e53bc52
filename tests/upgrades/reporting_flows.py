"""A program of an older SDK that has flows run, one after the other, until a file says that it is enough.

Each run that ended well is one line on stdout: what its program saw, no server can lose.
"""

from __future__ import annotations

import sys
from pathlib import Path

from orionflow import flow, runtime, task

TASKS = 20


@task
def double(number: int) -> int:
    return 2 * number


@flow
def doubling() -> str:
    assert sum(double(number) for number in range(TASKS)) == TASKS * (TASKS - 1)
    return str(runtime.flow_run.id)


if __name__ == "__main__":
    while not Path(sys.argv[1]).exists():
        print(doubling(), flush=True)
