"""Runs tasks whose large results or exceptions the program drops, and prints its peak in megabytes."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

from orionflow import flow, task
from orionflow.testing import isolated

MEGABYTE = 1024 * 1024
STATUS = Path("/proc/self/status")


@task
def text(number: int) -> str:
    return "x" * (5 * MEGABYTE + number)


@task
def rows(number: int) -> list[list[str]]:
    return [["x" * MEGABYTE + str(number), str(part)] for part in range(5)]


@task
def table(number: int) -> dict[str, list[int]]:
    return {"numbers": list(range(number, number + 100_000)), "more": [number] * 300_000}


@task
def many(number: int) -> list[str]:
    return [str(number) * 50 + str(part) for part in range(20_000)]


@task(cache_result_in_memory=False)
def stored(number: int) -> bytes:
    return bytes(5 * MEGABYTE + number)


@task
def failing(number: int) -> None:
    work = bytearray(5 * MEGABYTE)
    raise ValueError(f"{number} of {len(work)}")


@flow
def outer(which: Any, count: int) -> int:
    for number in range(count):
        which(number, return_state=True)
    return count


@flow
def submitting(which: Any, count: int) -> int:
    for number in range(count):
        which.submit(number).wait()
    return count


def peak() -> int:
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    # Not ru_maxrss, which a child begins with at what its parent had taken when it was started.
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    tasks = {one.name: one for one in (text, rows, table, many, stored, failing)}
    run = submitting if "submit" in sys.argv else outer
    with isolated():
        assert run.with_options(validate_parameters=False)(tasks[sys.argv[1]], int(sys.argv[2])) == int(sys.argv[2])
    print(peak())
