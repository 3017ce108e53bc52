"""The smallest flow, to measure a whole process."""

from __future__ import annotations

from orionflow import flow, task


@task
def greet(name: str) -> str:
    return f"hello, {name}"


@flow
def hello() -> str:
    return greet("world")


if __name__ == "__main__":
    hello()
