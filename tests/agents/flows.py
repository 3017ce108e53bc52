"""Flows that agents execute in the tests: good ones, and those that end their process in every way."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from orionflow import flow, task
from orionflow.reporting import get_reporter


@task
def double(x: int) -> int:
    return 2 * x


@flow
def doubling(x: int = 1) -> int:
    return double(x)


@flow(persist_result=True)
def pairing() -> tuple[int, int]:
    return 1, 2


@task(persist_result=True)
def step(name: str, log: str, before: str = "") -> str:
    with Path(log).open("a") as file:
        file.write(f"{name}\n")
    return f"{before} {name}"


@flow(persist_result=True)
def inner_steps(log: str, before: str) -> str:
    return step.with_options(name="inner")("inner-third", log, before)


@flow
def stepping(log: str) -> str:
    first = step.with_options(name="first")("first", log)
    second = step.with_options(name="second")("second", log, first)
    third = step.with_options(name="third")("third", log, second)
    return inner_steps(log, third)


@flow
async def awaiting() -> int:
    return 3


@flow
def environment(into: str) -> None:
    Path(into).write_text("\n".join([os.getcwd(), os.environ.get("COLOUR", "-"), sys.executable]))


@flow
def seeing(into: str) -> None:
    seen = Path("/proc/self/environ").read_bytes().replace(b"\0", b"\n").decode()
    Path(into).write_text("\n".join([seen, *(f"{name}={value}" for name, value in os.environ.items())]))


@flow
def sleeping(seconds: float = 60.0) -> None:
    time.sleep(seconds)


@flow
def napping(seconds: float, witness: str) -> None:
    time.sleep(seconds)
    Path(witness).write_text("awake")


@flow
async def sleeping_async() -> None:
    await asyncio.sleep(60)


@task
def holding() -> None:
    time.sleep(60)


@flow
def with_much_below() -> None:
    holding.submit()
    sleeping_async()


@flow
def with_a_child_process() -> None:
    subprocess.Popen(["sleep", "300"])
    time.sleep(300)


@flow
def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@flow
def crashing_once(mark: str) -> str:
    path = Path(mark)
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "there"


tried_again = crashing_once.with_options(name="tried-again", crash_retries=1)


@task(persist_result=True)
def noted(x: str, log: str) -> str:
    with Path(log).open("a") as file:
        file.write(x + "\n")
    return x.upper()


@flow(crash_retries=1)
def working_on_what_is_left(log: str) -> str:
    """Killed in its first attempt; the second one only calls for what is left."""
    is_first = not Path(log).exists()
    done = "".join(noted(x, log) for x in ("abcd" if is_first else "cde"))
    if is_first:
        get_reporter().drain()
        os.kill(os.getpid(), signal.SIGKILL)
    Path(log).with_suffix(".result").write_text(done)
    return done


@flow
def ending_after_its_child() -> None:
    child = os.fork()
    if child == 0:
        raise ValueError("in the child")
    os.waitpid(child, 0)
    os._exit(7)


@flow
def leaving() -> None:
    os._exit(3)


@flow
def exiting() -> None:
    sys.exit(4)


@flow
def faulting() -> None:
    ctypes.string_at(0)


@flow
def deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(0.1)


@flow
def hogging() -> None:
    """A loop in C, which lets no other thread of its process run."""
    sum(range(10**12))


@flow
def hungry() -> int:
    return len(bytearray(2 << 30))


@flow(timeout_seconds=0.5)
def limited() -> None:
    time.sleep(60)


@flow(retries=1)
def failing_once(mark: str) -> str:
    path = Path(mark)
    if not path.exists():
        path.touch()
        raise ValueError("the first time")
    return "there"


@flow
def inner() -> int:
    return double(2)


@flow
def outer() -> int:
    return inner()


patient = sleeping.with_options(name="patient", crash_retries=1)


@flow
def multiplying(count: int) -> None:
    """Starts processes that start processes, and threads, and waits for none."""
    for _ in range(count):
        subprocess.Popen(["sh", "-c", "sleep 300 & sleep 300"])
        threading.Thread(target=time.sleep, args=(300,), daemon=True).start()
    time.sleep(300)


@flow
def leaking_files() -> None:
    """Opens files until the system refuses."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    held = []
    while True:
        held.append(open(os.devnull))  # noqa: SIM115


@flow
def logging_its_limits() -> None:
    raise RuntimeError(f"at most {resource.getrlimit(resource.RLIMIT_NPROC)[0]} processes")
