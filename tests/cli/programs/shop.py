"""Flows that end in every way a flow can end; the tests of the command line run them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from orionflow import flow, get_run_logger, task
from orionflow.states import Cancelled


@task
def count_letters(word: str) -> int:
    get_run_logger().info("counting %s", word)
    return len(word)


@flow(name="greet")
def greet(name: str, times: int = 1) -> int:
    get_run_logger().warning("hello %s", name)
    return sum(count_letters(name) for _ in range(times))


@task
def fail(why: str) -> None:
    raise ValueError(why)


@flow(name="broken")
def broken(why: str = "no luck") -> None:
    fail(why)


@flow(name="crashing")
def crashing() -> None:
    raise SystemExit("pulled the plug")


@flow(name="cancelling")
def cancelling():
    return Cancelled(message="not today")


@flow(name="mending")
def mending(path: str) -> str:
    """Fails until the file exists."""
    return Path(path).read_text()


@task(persist_result=True)
def packed(item: str, log: str) -> str:
    with Path(log).open("a") as file:
        file.write(item + "\n")
    return item.upper()


@flow(name="packing")
def packing(list: str, log: str) -> str:
    """Packs what is on the list, and fails until all of it is."""
    items = Path(list).read_text().split()
    done = [packed(item, log) for item in items]
    if "last" not in items:
        raise ValueError("the list is not complete")
    Path(log).with_suffix(".result").write_text(" ".join(done))
    return " ".join(done)


@task
def tick() -> None:
    time.sleep(0.1)


@flow(name="endless")
def endless(at_most: int = 600) -> None:
    for _ in range(at_most):
        tick()


@flow(name="chatty")
def chatty() -> None:
    for number in range(8):
        tick()
        tick()
        print("step", number)


@flow(name="quiet")
async def quiet(seconds: float = 0.0) -> str:
    return os.environ.get("ORION_HOME", "")


def not_a_flow() -> None:
    """Only a function."""
