"""Flows whose process ends in the middle, and which continue in another one."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pydantic import BaseModel

from orionflow import flow, suspend_flow_run, task


class Approval(BaseModel):
    approved: bool


@task(persist_result=True)
def prepare(log: str) -> int:
    note(log, "prepare")
    return os.getpid()


@task
def tick(log: str) -> None:
    note(log, "tick")


@flow
def approved(log: str) -> None:
    before = prepare(log)
    approval = suspend_flow_run(wait_for_input=Approval, timeout=600)
    note(log, f"approved={approval.approved} elsewhere={before != os.getpid()}")


@flow
async def suspended_twice(log: str) -> None:
    for number in (1, 2):
        await suspend_flow_run()
        note(log, str(number))


@flow
def ticking(log: str) -> None:
    """Run until it is suspended from outside or asked to stop."""
    while not Path(log).with_suffix(".stop").exists():
        tick(log)
        time.sleep(0.05)
    note(log, "end")


def note(log: str, line: str) -> None:
    with Path(log).open("a") as file:
        file.write(line + "\n")
