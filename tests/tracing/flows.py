"""Flows for a process of their own."""

from __future__ import annotations

from orionflow import flow, task
from orionflow.deployments.running import run_deployment


@task
def double(number: int) -> int:
    return 2 * number


@flow
def doubling() -> int:
    return double(21)


@flow
def called() -> None:
    """Run of a deployment."""


@flow
def calling() -> None:
    run_deployment("called/there", timeout=60, poll_interval=0.2)


if __name__ == "__main__":
    doubling()
