"""Flows that run while everything around them dies. Each start leaves a line in a file that no database can lose."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from orionflow import flow, task


def testify(witness: str) -> None:
    """Append the run's id to the file `witness`, with one write, so that lines of several processes do not mix."""
    line = f"{os.environ['ORION_FLOW_RUN_ID']}\n".encode()
    descriptor = os.open(witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line)
    os.close(descriptor)


@task
def step(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@flow
def inner(seconds: float) -> float:
    return step(seconds)


@flow
def brief(witness: str, seconds: float) -> None:
    testify(witness)
    time.sleep(seconds)


@flow
def stepping(witness: str, seconds: float) -> float:
    testify(witness)
    return sum(step(seconds / 5) for _ in range(4)) + inner(seconds / 5)


@flow
def with_a_child(witness: str, seconds: float) -> None:
    """Leaves a process behind, as user code does."""
    testify(witness)
    subprocess.Popen(["sleep", "300"])
    time.sleep(seconds)


@flow(crash_retries=2)
def sturdy(witness: str, seconds: float) -> float:
    testify(witness)
    return sum(step(seconds / 3) for _ in range(3))


@flow(log_prints=True)
def chattering(witness: str, seconds: float) -> None:
    """Reports without a pause."""
    testify(witness)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        print(step(0.1))


@flow(log_prints=True, crash_retries=1)
def chattering_once(witness: str, seconds: float) -> None:
    """Chatter at the first start only; at another one there is nothing left to do."""
    is_first = not Path(witness).exists()
    chattering.fn(witness, seconds if is_first else 0.3)


@flow(persist_result=True)
def bulky(megabytes: int) -> bytes:
    """Return a value that cannot be compressed."""
    return os.urandom(megabytes * 2**20)


@task(retries=1, retry_delay_seconds=0.5)
def step_that_fails_once(witness: str) -> None:
    fail_once(f"{witness}.task")


@flow(retries=1, retry_delay_seconds=0.5)
def failing_once(witness: str) -> float:
    """Waits for its own retry and for that of a task."""
    step_that_fails_once(witness)
    fail_once(witness)
    return inner(0.1)


def fail_once(mark: str) -> None:
    if not Path(mark).exists():
        Path(mark).touch()
        raise RuntimeError("the first time")
