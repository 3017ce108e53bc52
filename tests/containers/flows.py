"""Flows for containers, which see what they are given."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from orionflow import flow, task


@task
def double(x: int) -> int:
    return 2 * x


@flow
def doubling(x: int = 2) -> int:
    return double(x)


@flow
def sleeping(seconds: float = 60, mark: str | None = None) -> None:
    if mark:
        with open(mark, "a") as file:
            file.write("began\n")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.05)
    if mark:
        with open(mark, "a") as file:
            file.write("ended\n")


@flow
def waiting(mark: str, until: str) -> None:
    """Run until a file exists."""
    with open(mark, "a") as file:
        file.write("began\n")
    while not Path(until).exists():
        time.sleep(0.05)
    with open(mark, "a") as file:
        file.write("ended\n")


def note_hook(name):
    def hook(flow, run, state):
        Path(run.parameters["hooked"]).write_text(name)

    return hook


@flow(on_cancellation=[note_hook("cancelled")], on_crashed=[note_hook("crashed")])
def hooked(mark: str, hooked: str) -> None:
    Path(mark).touch()
    time.sleep(60)


@flow
def stubborn(mark: str) -> None:
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(mark).write_text("began\n")
    time.sleep(60)


@flow
def dying(code: int = 3) -> None:
    print("the last words of a flow", file=sys.stderr, flush=True)
    os._exit(code)


@flow
def seeing(into: str) -> None:
    lines = [f"{name}={value}" for name, value in os.environ.items()]
    Path(into).write_text("\n".join([os.getcwd(), *lines, f"argv={sys.argv}", Path("/proc/self/cmdline").read_text()]))
