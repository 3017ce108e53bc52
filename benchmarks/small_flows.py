"""A program in a child process: many small flow runs with two task runs each. argv: NUMBER."""

from __future__ import annotations

import sys

from orionflow import flow, task


@task
def step(number: int) -> int:
    return number


@flow
def small(number: int) -> None:
    step(number)
    step(number)


if __name__ == "__main__":
    for each in range(int(sys.argv[1])):
        small(each)
