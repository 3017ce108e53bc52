"""Prefect 2 in-process: a flow of no-op tasks, to measure the size of its records in the database."""

from __future__ import annotations

import sys

from prefect import flow, task


@task
def noop(number):
    return number


@flow
def seq(number):
    for i in range(number):
        noop(i)


if __name__ == "__main__":
    seq(int(sys.argv[1]))
